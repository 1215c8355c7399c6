"""Builds the Debian package from the metadata of cargo-deb, where cargo-deb is not installed.

Understands as much of `[package.metadata.deb]` as crates/server/Cargo.toml uses, and nothing else.
"""

import glob
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

# In the order in which dpkg shows them.
FIELDS = "Package Version Architecture Section Priority Maintainer Homepage Depends Installed-Size".split()


def read_package():
    command = ["cargo", "metadata", "--format-version", "1", "--no-deps", "--locked"]
    packages = json.loads(subprocess.check_output(command))["packages"]
    return next(package for package in packages if package["name"] == "jetwash-server")


def newest_symbol(binaries, library):
    """The newest version of a library's symbols that the programs ask for, such as 2.34."""
    found = set()
    for binary in binaries:
        found.update(re.findall(rb"\0" + library + rb"_(\d+(?:\.\d+)+)\0", binary.read_bytes()))
    return max((tuple(map(int, one.split(b"."))) for one in found), default=None)


def depends(binaries):
    wanted = []
    for package, library in (("libc6", rb"GLIBC"), ("libgcc-s1", rb"GCC")):
        version = newest_symbol(binaries, library)
        if version:
            wanted.append(f"{package} (>= {'.'.join(map(str, version))})")
    return ", ".join(wanted)


def install(assets, crate, release, root):
    """Copies the files to their places and returns the programs among them."""
    programs = []
    for source, place, mode in assets:
        is_built = source.startswith("target/release/")
        pattern = release / source.removeprefix("target/release/") if is_built else crate / source
        files = glob.glob(str(pattern))
        if not files:
            sys.exit(f"packaging/deb.py: there is no file {pattern}")
        for file in map(pathlib.Path, files):
            target = root / place / file.name if place.endswith("/") else root / place
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
            target.chmod(int(mode, 8))
            if is_built and mode == "755":
                subprocess.run(["strip", "--strip-unneeded", target], check=True)
                programs.append(target)
    return programs


def control(package, deb, programs, root):
    architecture = subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip()
    size = sum(file.stat().st_size for file in root.rglob("*") if file.is_file())
    values = {
        "Package": deb["name"],
        "Version": package["version"] + "-1",
        "Architecture": architecture,
        "Section": deb["section"],
        "Priority": deb["priority"],
        "Maintainer": deb["maintainer"],
        "Homepage": package["repository"],
        "Depends": deb["depends"].replace("$auto", depends(programs)),
        "Installed-Size": -(-size // 1024),
    }
    lines = [f"{field}: {values[field]}" for field in FIELDS]
    lines.append("Description: " + package["description"].rstrip("."))
    lines += [" " + (line or ".") for line in deb["extended-description"].splitlines()]
    return values, "\n".join(lines) + "\n"


def main():
    release, folder = map(pathlib.Path, sys.argv[1:3])
    package = read_package()
    deb, crate = package["metadata"]["deb"], pathlib.Path(package["manifest_path"]).parent
    os.umask(0o022)
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch, "root")
        programs = install(deb["assets"], crate, release, root)
        notice = root / "usr/share/doc" / deb["name"] / "copyright"
        notice.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(crate / deb["license-file"][0], notice)
        values, text = control(package, deb, programs, root)
        debian = root / "DEBIAN"
        debian.mkdir()
        (debian / "control").write_text(text)
        (debian / "conffiles").write_text("".join(file + "\n" for file in deb["conf-files"]))
        for script in ("preinst", "postinst", "prerm", "postrm"):
            source = crate / deb["maintainer-scripts"] / script
            if source.exists():
                shutil.copy(source, debian / script)
                (debian / script).chmod(0o755)
        name = "{Package}_{Version}_{Architecture}.deb".format(**values)
        command = ["dpkg-deb", "--build", "--root-owner-group", root, folder / name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    print(folder / name)


if __name__ == "__main__":
    main()
