"""Checks what engines are given against what they take, without any engine.

    deploy.py KUBERNETES_YAML AWS_BATCH_JSON

First each file as it is; then with each of its names misspelled in turn, which must be refused.
"""

import copy
import json
import re
import sys

import botocore.session
import kubernetes_validate
import yaml

# The schemas have the names of fields but not these words, which only the server checks.
WORDS = {
    "action": {"FailJob", "FailIndex", "Ignore", "Count"},
    "operator": {"In", "NotIn"},
    "completionMode": {"Indexed", "NonIndexed"},
    "concurrencyPolicy": {"Allow", "Forbid", "Replace"},
    "restartPolicy": {"Never", "OnFailure"},
    "accessModes": {"ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"},
}
# Below these anything may stand.
FREE = {"labels", "annotations", "limits", "requests"}
# The oldest version that the file says it is for, and the newest that is known.
VERSIONS = ["1.31", kubernetes_validate.latest_version()]


class Refused(Exception):
    pass


def require(is_so, text):
    if not is_so:
        raise Refused(text)


# --- Kubernetes


def kubernetes(documents):
    for document in documents:
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                raise Refused(f"{'.'.join(map(str, error.path))}: {error.message} (Kubernetes {version})")
            except (kubernetes_validate.SchemaNotFoundError, KeyError) as error:
                raise Refused(f"{document.get('kind')}: {error}")
        words(document)
    by_kind = {document["kind"]: document for document in documents}
    require(set(by_kind) == {"PersistentVolumeClaim", "CronJob"}, f"other kinds: {sorted(by_kind)}")
    cron = by_kind["CronJob"]["spec"]
    require(len(cron["schedule"].split()) == 5, "schedule: not five fields")
    job = cron["jobTemplate"]["spec"]
    pod = job["template"]["spec"]
    # A claim, a configuration and the secrets; what the pod mounts must be among them.
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    [container] = pod["containers"]
    for mount in container["volumeMounts"]:
        require(mount["name"] in volumes, f"volumeMounts: there is no volume {mount['name']}")
    claim = volumes["target"]["persistentVolumeClaim"]["claimName"]
    require(claim == by_kind["PersistentVolumeClaim"]["metadata"]["name"], f"there is no claim {claim}")
    # Pod failure policies are for pods that are never restarted, and FailIndex for limits of an index.
    require(pod["restartPolicy"] == "Never", "restartPolicy: a pod failure policy needs Never")
    require("backoffLimitPerIndex" in job and job["completionMode"] == "Indexed", "FailIndex needs an index")
    seen = []
    for rule in job["podFailurePolicy"]["rules"]:
        codes = rule.get("onExitCodes")
        require((codes is None) != ("onPodConditions" not in rule), "a rule has one requirement")
        if codes is None:
            continue
        require(codes["containerName"] == container["name"], f"there is no container {codes['containerName']}")
        values = codes["values"]
        require(values == sorted(set(values)) and 0 not in values, f"values: {values}")
        seen.extend(values)
    require(len(seen) == len(set(seen)), "an exit code has two rules")


def words(value, name=None):
    if isinstance(value, dict):
        for key, one in value.items():
            words(one, key)
    elif isinstance(value, list):
        for one in value:
            words(one, name)
    elif name in WORDS:
        require(value in WORDS[name], f"{name}: `{value}` is none of {sorted(WORDS[name])}")


# --- AWS


def aws(document):
    require(set(document) == {"jobDefinition", "schedule"}, f"other members: {sorted(document)}")
    session = botocore.session.Session()
    batch = session.get_service_model("batch")
    scheduler = session.get_service_model("scheduler")
    definition, schedule = document["jobDefinition"], document["schedule"]
    shape(batch.operation_model("RegisterJobDefinition").input_shape, definition, "jobDefinition")
    shape(scheduler.operation_model("CreateSchedule").input_shape, schedule, "schedule")
    target = schedule["Target"]
    service, operation = re.fullmatch(r"arn:aws:scheduler:::aws-sdk:(\w+):(\w+)", target["Arn"]).groups()
    require((service, operation) == ("batch", "submitJob"), f"Target.Arn: {target['Arn']}")
    # A universal target takes the names of the service with a capital in front.
    submitted = json.loads(target["Input"], object_pairs_hook=uncapitalised)
    shape(batch.operation_model("SubmitJob").input_shape, submitted, "schedule.Target.Input")
    require(submitted["jobDefinition"] == definition["jobDefinitionName"], "Input: another job definition")
    # What the services add to their models.
    size = submitted["arrayProperties"]["size"]
    require(2 <= size <= 10_000, f"Input: AWS Batch has no arrays of {size}")
    attempts = definition["retryStrategy"]["attempts"]
    require(1 <= attempts <= 10, f"retryStrategy.attempts: {attempts}")
    container = definition["containerProperties"]
    require("executionRoleArn" in container, "Fargate reads secrets by an execution role")
    sizes = {one["type"]: one["value"] for one in container["resourceRequirements"]}
    require(sizes["VCPU"] == "1" and 2048 <= int(sizes["MEMORY"]) <= 8192, f"Fargate has no {sizes}")
    volumes = {volume["name"] for volume in container["volumes"]}
    mounted = {mount["sourceVolume"] for mount in container["mountPoints"]}
    require(mounted <= volumes, f"mountPoints: {mounted - volumes} is no volume")
    require(len(definition["retryStrategy"]["evaluateOnExit"]) <= 5, "evaluateOnExit: five at most")


def uncapitalised(pairs):
    for name, _ in pairs:
        require(name[0].isupper(), f"Input: `{name}` begins with a small letter")
    return {name[0].lower() + name[1:]: value for name, value in pairs}


def shape(model, value, path):
    """Whether a value has the form that a service's model gives it, down to its words and lengths."""
    kind, limits = model.type_name, model.metadata
    kinds = {
        "structure": dict, "map": dict, "list": list, "string": str, "boolean": bool, "integer": int,
        "long": int,
    }
    require(kind in kinds and type(value) is kinds[kind], f"{path}: no {kind}: {value!r}")
    if kind == "structure":
        for name in model.required_members:
            require(name in value, f"{path}: `{name}` is missing")
        for name, one in value.items():
            require(name in model.members, f"{path}: `{name}` is not known")
            shape(model.members[name], one, f"{path}.{name}")
    elif kind == "map":
        for name, one in value.items():
            shape(model.value, one, f"{path}.{name}")
    elif kind == "list":
        for at, one in enumerate(value):
            shape(model.member, one, f"{path}[{at}]")
    if kind in ("string", "integer", "long", "list"):
        amount = value if kind in ("integer", "long") else len(value)
        require(limits.get("min", amount) <= amount <= limits.get("max", amount), f"{path}: {value!r}")
    if getattr(model, "enum", None):
        require(value in model.enum, f"{path}: `{value}` is none of {model.enum}")
    if "pattern" in limits:
        require(re.fullmatch(limits["pattern"], value), f"{path}: `{value}` is not {limits['pattern']}")


# --- Whether any of that is worth something


def misspelled(value, path=()):
    """Gives the same with each name, and each word that is checked, misspelled in turn."""
    if isinstance(value, list):
        for at, one in enumerate(value):
            for where, other in misspelled(one, (*path, at)):
                yield where, value[:at] + [other] + value[at + 1:]
    elif isinstance(value, dict):
        for name, one in value.items():
            if not set(path) & FREE:
                yield (*path, f"{name}x"), {(f"{key}x" if key == name else key): it for key, it in value.items()}
            for where, other in misspelled(one, (*path, name)):
                yield where, {**value, name: other}
    elif path and isinstance(path[-1], str) and path[-1] in WORDS:
        yield (*path, f"{value}x"), f"{value}x"


def try_all(check, document):
    check(copy.deepcopy(document))
    count, passed = 0, []
    for where, other in misspelled(document):
        count += 1
        try:
            check(other)
        except (Refused, KeyError, TypeError, ValueError):
            continue
        passed.append(".".join(map(str, where)))
    require(not passed, f"misspelled and not noticed: {passed}")
    return count


def main():
    of_kubernetes, of_aws = sys.argv[1:]
    with open(of_kubernetes, encoding="utf-8") as file:
        documents = list(yaml.safe_load_all(file))
    with open(of_aws, encoding="utf-8") as file:
        document = json.load(file)
    try:
        for path, check, content in ((of_kubernetes, kubernetes, documents), (of_aws, aws, document)):
            count = try_all(check, content)
            print(f"{path}: taken; {count} misspellings of it are refused")
    except Refused as refused:
        print(f"{path}: {refused}", file=sys.stderr)
        return 1
    return 0


sys.exit(main())
