//! The table of every property: its name, its default, what it means.
//!
//! The example file, the README and `rcbs config` are made from it or tested against it.
//!
//! **Invariant:** a name that is not in the table is read nowhere.

/// One property that the configuration knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Property {
    /// The name, as documented; the case counts.
    pub name: &'static str,
    /// What it is where nobody sets it; `None` is nothing at all.
    pub default: Option<&'static str>,
    /// What it means, in one sentence.
    pub help: &'static str,
}

const fn property(
    name: &'static str,
    default: Option<&'static str>,
    help: &'static str,
) -> Property {
    Property { name, default, help }
}

/// All properties, in the order in which they are documented.
#[rustfmt::skip] // One property, one line.
pub const PROPERTIES: &[Property] = &[
    property("gwsUriPrefix", None, "base of the GWS API, mandatory"),
    property("gwsRecordingsUri", Some("/recordings"), "path of the recording API below the prefix"),
    property("gwsSettingsUri", Some("/me/settings/rcbs"), "path of the settings API below the prefix"),
    property("targetDir", Some("./target"), "folder the recordings are kept in"),
    property("stateDir", None, "folder of last_recording_endtime.txt; targetDir if not set"),
    property("maxAge", Some("2"), "older edge of the window: days, or an ISO 8601 duration; 0 = any age"),
    property("minAge", Some("0"), "newer edge of the window: days, or an ISO 8601 duration"),
    property("maxDate", None, "older edge as a date or epoch milliseconds; replaces maxAge"),
    property("minDate", None, "newer edge as a date or epoch milliseconds; replaces minAge"),
    property("skipLastRecordingCheck", Some("false"), "true: the watermark is not read"),
    property("shardBy", Some("1"), "length of a shard: days, or an ISO 8601 duration without years or months"),
    property("overlap", Some("6"), "how far before the watermark is scanned again: hours, or an ISO 8601 duration"),
    property("rescan", Some("P3D"), "how far before the watermark is listed again once a day; 0 = never"),
    property("mediaTypePattern", Some("audio/mp3|video/mp4"), "regular expression that the whole media type must match"),
    property("recordingFolderFormat", Some("yyyy/MM/dd/HH"), "folders above a recording, as a Java SimpleDateFormat pattern"),
    property("encryptionFormat", Some("AES-128"), "cipher where rcbs itself encrypts: AES-128 or AES-256"),
    property("encryptionCertificate", None, "PEM certificate to encrypt for where rcbs itself encrypts"),
    property("metadataOnly", Some("false"), "true: metadata without media; no S3 credentials needed"),
    property("usePayloadSigning", Some("false"), "S3 payload signing"),
    property("downloadMode", Some("multithread"), "single or multithread"),
    property("numThreads", Some("4"), "threads that post-process media; in multithread mode only"),
    property("maxConnections", Some("adaptive"), "S3 requests in flight: a number, or adaptive"),
    property("bandwidth", Some("off"), "most bytes of media a second, such as 20M, or a timetable; off = no limit"),
    property("rememberMoved", Some("false"), "true: saved files that were moved away are not downloaded again"),
    property("totalRcbsInstances", Some("1"), "how many instances share the work, or auto; with rcbsInstanceId"),
    property("rcbsInstanceId", Some("0"), "which of them this one is, from 0, or auto; with totalRcbsInstances"),
    property("sharedTarget", Some("false"), "true: all instances have the same targetDir"),
    property("awsProxyHost", None, "proxy for S3: host without a scheme"),
    property("awsProxyPort", None, "its port"),
    property("awsProxyUsername", None, "its user name; the password is AWS_PROXY_PASSWORD"),
    property("gwsProxyHost", None, "proxy for GWS: host with a scheme"),
    property("gwsProxyPort", None, "its port"),
    property("gwsProxyUsername", None, "its user name; the password is GWS_PROXY_PASSWORD"),
    property("proxyBypass", None, "hosts that are asked without a proxy, comma-separated"),
    property("s3ConnectionTimeout", Some("50000"), "milliseconds until a connection to S3 must stand"),
    property("s3SocketTimeout", Some("50000"), "milliseconds that an S3 connection may be silent"),
    property("s3MaxErrorRetry", Some("3"), "retries after the first try, for S3 and for GWS"),
    property("metadataPropertiesInclude", None, "the only top-level metadata properties to keep, comma-separated"),
    property("metadataPropertiesExclude", None, "top-level metadata properties to drop, comma-separated"),
    property("bucketVerify", None, "bucket/prefix to check with --verify s3, comma-separated"),
    property("retentionDays", None, "days until the cloud deletes a recording; warns when what is not held comes near them"),
    property("metricsFile", None, "file for the node_exporter of Prometheus, replaced after each backup"),
    property("pingUrl", None, "address that is told start, success and failure as healthchecks.io has it; a secret"),
    property("logFile", None, "file that the messages of backups are appended to"),
    property("logFileMaxSize", Some("10M"), "length at which the log file is set aside: bytes, or such as 500K or 10M"),
    property("logFileKeep", Some("5"), "how many log files that were set aside are kept"),
    property("mediaOrigins", None, "origins that media may be fetched from over HTTP(S), comma-separated"),
    property("awsRegion", None, "AWS region, where the buckets are not to be asked"),
    property("awsEndpointUrl", None, "address of an S3-compatible store or a VPC endpoint"),
    property("awsForcePathStyle", Some("false"), "true: the bucket stands in the path, not in the host name"),
    property("caBundle", None, "PEM file of extra roots for GWS, S3 and proxies; else the system's"),
    property("fileMode", Some("0640"), "Unix permissions of files, octal"),
    property("folderMode", Some("0750"), "Unix permissions of folders, octal"),
];

/// What the settings API is asked for; the rest of its answer is not for this program.
pub(super) const FROM_SETTINGS_API: [&str; 6] = [
    "bucketVerify",
    "metadataPropertiesInclude",
    "metadataPropertiesExclude",
    "s3ConnectionTimeout",
    "s3SocketTimeout",
    "s3MaxErrorRetry",
];

/// Looks up a property by its exact name.
pub(super) fn find(name: &str) -> Option<&'static Property> {
    PROPERTIES.iter().find(|property| property.name == name)
}

/// Finds the known name that an unknown one was most likely meant to be.
pub(super) fn nearest(unknown: &str) -> Option<&'static str> {
    let unknown = unknown.to_lowercase();
    PROPERTIES
        .iter()
        .map(|known| (strsim::osa_distance(&unknown, &known.name.to_lowercase()), known.name))
        .min_by_key(|(distance, _)| *distance)
        // A third of the letters wrong is still a slip; more is another word.
        .filter(|(distance, name)| distance * 3 <= name.len())
        .map(|(_, name)| name)
}

/// Tells whether a name speaks of something secret, and of which variable then.
pub(super) fn credential(name: &str) -> Option<&'static str> {
    let letters: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric()).collect::<String>().to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| letters.contains(word));
    if has(&["proxy"]) {
        let of_aws = has(&["aws", "s3"]);
        match (has(&["password", "passwd"]), has(&["username"])) {
            (true, _) if of_aws => Some("AWS_PROXY_PASSWORD"),
            (true, _) => Some("GWS_PROXY_PASSWORD"),
            (false, true) if of_aws => Some("AWS_PROXY_USERNAME"),
            (false, true) => Some("GWS_PROXY_USERNAME"),
            (false, false) => None,
        }
    } else if has(&["sessiontoken", "securitytoken"]) {
        Some("AWS_SESSION_TOKEN")
    } else if has(&["accesskeyid", "accessid"]) {
        Some("AWS_ACCESS_KEY_ID")
    } else if has(&["secret", "accesskey"]) {
        Some("AWS_SECRET_ACCESS_KEY")
    } else if has(&["password", "passwd"]) {
        Some("GWS_PASSWORD")
    } else if has(&["username"]) {
        Some("GWS_USERNAME")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_in_the_table_once() {
        let mut names: Vec<_> = PROPERTIES.iter().map(|property| property.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PROPERTIES.len());
        assert!(FROM_SETTINGS_API.iter().all(|name| find(name).is_some()));
    }

    #[test]
    fn a_slip_finds_the_name_that_was_meant() {
        for (unknown, meant) in [
            ("maxage", Some("maxAge")),
            ("maxAgee", Some("maxAge")),
            ("mixAge", Some("maxAge")),
            ("gwsUrlPrefix", Some("gwsUriPrefix")),
            ("target_dir", Some("targetDir")),
            ("numThread", Some("numThreads")),
            ("metadataPropertyInclude", Some("metadataPropertiesInclude")),
            ("logLevel", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(unknown), meant, "{unknown}");
        }
    }

    #[test]
    fn a_name_of_a_secret_is_known_as_one_and_no_property_is() {
        for (name, variable) in [
            ("GWS_PASSWORD", "GWS_PASSWORD"),
            ("gws.password", "GWS_PASSWORD"),
            ("gwsUsername", "GWS_USERNAME"),
            ("awsSecretKey", "AWS_SECRET_ACCESS_KEY"),
            ("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"),
            ("awsAccessKeyId", "AWS_ACCESS_KEY_ID"),
            ("AWS_SESSION_TOKEN", "AWS_SESSION_TOKEN"),
            ("awsProxyPassword", "AWS_PROXY_PASSWORD"),
            ("s3ProxyPasswd", "AWS_PROXY_PASSWORD"),
            ("gwsProxyPassword", "GWS_PROXY_PASSWORD"),
            ("gws.proxy.username", "GWS_PROXY_USERNAME"),
        ] {
            assert_eq!(credential(name), Some(variable), "{name}");
        }
        // A user name may stand in the file, and is found there by its exact name.
        let others = PROPERTIES.iter().filter(|property| !property.name.ends_with("ProxyUsername"));
        assert!(others.map(|property| credential(property.name)).all(|found| found.is_none()));
    }
}
