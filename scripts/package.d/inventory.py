#!/usr/bin/env python3
"""Writes what the program is made of: an inventory (CycloneDX 1.5, JSON) and the licences of it all.

    inventory.py [--with-openssl] INVENTORY LICENCES

Every crate that is linked in, the libraries in C that crates bring, and the standard library of Rust.
With --with-openssl also the system's OpenSSL, where it is linked in. The same source gives the same text.
"""

import collections
import datetime
import html
import json
import os
import pathlib
import re
import subprocess
import sys


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


Other = collections.namedtuple("Other", "kind name version licence brought_by")


def toolchain():
    lines = dict(line.split(": ", 1) for line in run("rustc", "-vV").splitlines() if ": " in line)
    return lines["host"], lines["release"]


def linked_crates(host):
    """Names and versions of what ends up in the program: no build scripts, no procedural macros."""
    tree = run(
        "cargo", "tree", "--locked", "-p", "rcbs", "--edges", "normal,no-proc-macro",
        "--target", host, "--prefix", "none", "--format", "{p}",
    )
    lines = {line.split(" (")[0] for line in tree.splitlines() if line}
    return {tuple(line.split(" v")) for line in lines}


def checksums():
    """The SHA-256 of each crate's archive, from Cargo.lock."""
    text = pathlib.Path("Cargo.lock").read_text()
    found = {}
    for block in text.split("[[package]]")[1:]:
        fields = dict(re.findall(r'^(\w+) = "(.*)"$', block, re.M))
        if "checksum" in fields:
            found[fields["name"], fields["version"]] = fields["checksum"]
    return found


def expression(text):
    """A licence as SPDX writes it; old crates put a slash for OR."""
    return re.sub(r"\s*/\s*", " OR ", text)


def crates(host):
    known = json.loads(run("cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", host))
    linked = linked_crates(host)
    by_id = {one["id"]: one for one in known["packages"] if (one["name"], one["version"]) in linked}
    missing = linked - {(one["name"], one["version"]) for one in by_id.values()}
    assert not missing, f"unknown to cargo metadata: {missing}"
    edges = {
        node["id"]: [
            dep["pkg"] for dep in node["deps"]
            if dep["pkg"] in by_id and any(kind["kind"] is None for kind in dep["dep_kinds"])
        ]
        for node in known["resolve"]["nodes"] if node["id"] in by_id
    }
    return by_id, edges


def folder_of(crate):
    return pathlib.Path(crate["manifest_path"]).parent


def inside_std(host):
    """The crates that the standard library is made of, by the names of their sources in it."""
    sysroot = pathlib.Path(run("rustc", "--print", "sysroot").strip())
    found = set()
    for library in (sysroot / "lib" / "rustlib" / host / "lib").glob("*.rlib"):
        names = re.findall(rb"/rust/deps/([a-z][a-z0-9_-]*?)-(\d+\.\d+\.\d+)(?=[/\0])", library.read_bytes())
        found.update((name.decode(), version.decode()) for name, version in names)
    # Of the test runner and of procedural macros.
    return {one for one in found if one[0] not in ("getopts", "rustc-literal-escaper")}


def beside(by_id, with_openssl, host, rust):
    """What is in the program and no crate of Cargo.lock: a line each, and texts of their licences."""
    named = {one["name"]: one for one in by_id.values()}
    jemalloc, sqlite = named["tikv-jemalloc-sys"], named["libsqlite3-sys"]
    header = (folder_of(sqlite) / "sqlite3" / "sqlite3.h").read_text()
    texts = {"jemalloc": [folder_of(jemalloc) / "jemalloc" / "COPYING"]}
    jemalloc_version = jemalloc["version"].partition("+")[2].split("-")[0]
    sqlite_version = re.search(r'#define SQLITE_VERSION\s+"(.*)"', header)[1]
    found = [
        Other("generic", "jemalloc", jemalloc_version, "BSD-2-Clause", jemalloc["name"]),
        Other("generic", "sqlite", sqlite_version, "blessing", sqlite["name"]),
        Other("generic", "rust-std", rust, "MIT OR Apache-2.0", "rcbs"),
    ]
    locked = {(one["name"], one["version"]) for one in by_id.values()}
    found.extend(
        Other("cargo", name, version, "", "rust-std")
        for name, version in sorted(inside_std(host) - locked)
    )
    if with_openssl:
        version = run("pkg-config", "--modversion", "openssl").strip()
        found.append(Other("generic", "openssl", version, "Apache-2.0", "openssl-sys"))
        texts["openssl"] = [pathlib.Path("/usr/share/doc/libssl-dev/copyright")]
    std = pathlib.Path(run("rustc", "--print", "sysroot").strip()) / "share" / "doc" / "rust"
    for one in found:
        if "rust-std" in (one.name, one.brought_by):
            texts[one.name] = [std / "COPYRIGHT-library.html"]
    return found, texts


def inventory(by_id, edges, others, own):
    sums = checksums()
    refs = {key: f"pkg:cargo/{one['name']}@{one['version']}" for key, one in by_id.items()}
    components = []
    for key, one in by_id.items():
        if key == own["id"]:
            continue
        component = {
            "type": "library", "bom-ref": refs[key], "purl": refs[key],
            "name": one["name"], "version": one["version"],
            "licenses": [{"expression": expression(one["license"])}] if one["license"] else [],
        }
        if (one["name"], one["version"]) in sums:
            digest = sums[one["name"], one["version"]]
            component["hashes"] = [{"alg": "SHA-256", "content": digest}]
        components.append(component)
    depends = {refs[key]: sorted(refs[to] for to in targets) for key, targets in edges.items()}
    for other in others:
        ref = f"pkg:{other.kind}/{other.name}@{other.version}"
        component = {
            "type": "library", "bom-ref": ref, "purl": ref, "name": other.name, "version": other.version,
        }
        if other.licence:
            named = {"expression": other.licence}
            component["licenses"] = [named if " " in other.licence else {"license": {"id": other.licence}}]
        components.append(component)
        depends[ref] = []
        depends[next(one for one in depends if f"/{other.brought_by}@" in one)].append(ref)
    made_at = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {
            "timestamp": made_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application", "bom-ref": refs[own["id"]], "purl": refs[own["id"]],
                "name": own["name"], "version": own["version"], "description": own["description"],
                "licenses": [{"expression": own["license"]}],
            },
        },
        "components": sorted(components, key=lambda one: one["bom-ref"]),
        "dependencies": [{"ref": ref, "dependsOn": to} for ref, to in sorted(depends.items())],
    }


def licences(by_id, others, texts, own):
    """Each text once, below the names of all that it covers."""
    names = "LICEN[SC]E|COPYING|COPYRIGHT|NOTICE|UNLICENSE"
    covered, without = {}, []
    files = {
        f"{one['name']} {one['version']} ({expression(one['license'] or 'no licence named')})": sorted(
            path for path in folder_of(one).iterdir() if path.is_file() and re.match(names, path.name, re.I)
        )
        for one in by_id.values() if one["id"] != own["id"]
    }
    files.update({
        f"{other.name} {other.version} ({other.licence or 'in the standard library of Rust'})":
            [path for path in texts.get(other.name, []) if path.exists()]
        for other in others
    })
    for title, paths in sorted(files.items()):
        if not paths:
            without.append(title)
        for path in paths:
            text = path.read_text(errors="replace").strip()
            if path.suffix == ".html":
                text = re.sub(r"\n\s*\n+", "\n\n", html.unescape(re.sub(r"<[^>]*>", "", text)))
            covered.setdefault(text, []).append(title)
    pieces = ["What rcbs is made of, and the licences of it: each text stands below the names that it covers."]
    if without:
        pieces.append("These bring no text of their licence:\n" + "\n".join(f"    {one}" for one in without))
    for text, titles in sorted(covered.items(), key=lambda one: one[1]):
        heading = "\n".join(f"    {one}" for one in dict.fromkeys(titles))
        pieces.append(f"{'=' * 100}\n{heading}\n\n{text}")
    return "\n\n".join(pieces) + "\n"


def main():
    arguments = sys.argv[1:]
    with_openssl = "--with-openssl" in arguments
    to_inventory, to_licences = [one for one in arguments if one != "--with-openssl"]
    host, rust = toolchain()
    by_id, edges = crates(host)
    own = next(one for one in by_id.values() if one["name"] == "rcbs")
    others, texts = beside(by_id, with_openssl, host, rust)
    text = json.dumps(inventory(by_id, edges, others, own), indent=1, ensure_ascii=False)
    pathlib.Path(to_inventory).write_text(text + "\n")
    pathlib.Path(to_licences).write_text(licences(by_id, others, texts, own))
    print(f"{pathlib.Path(to_inventory).name}: {len(by_id) - 1} crates and {len(others)} other libraries")


main()
