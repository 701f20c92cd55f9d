"""Real documents that nobody here wrote: the descriptions of the packages that are installed beside these tests."""

import shutil
import sysconfig
from pathlib import Path


def real_documents(folder: Path, count: int) -> list[Path]:
    """Copies of the descriptions of `count` installed packages, in a folder of their own."""
    installed = sorted(Path(sysconfig.get_paths()["purelib"]).glob("*.dist-info/METADATA"))
    assert len(installed) >= count, f"only {len(installed)} packages are installed; the checks need {count}"
    copies = []
    for document in installed[:count]:
        copy = folder / document.parent.name / "METADATA"
        copy.parent.mkdir(parents=True)
        shutil.copy(document, copy)
        copies.append(copy)
    return copies
