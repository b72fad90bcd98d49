"""WebDataset shards, written as the package of that name writes them."""

from __future__ import annotations

from pathlib import Path

from webdataset import ShardWriter

from bitvit.data.class_order import natural_key


def write_shards(folder: Path, out: Path, per_shard: int, classes: str = "numbers") -> Path:
    """Write the images of `folder/SPLIT/CLASS/` to shards in `out`, which is returned.

    `classes` says how samples name their class: "numbers" with `classes.txt`, "names", or "json".
    """
    out.mkdir(parents=True)
    names: list[str] = []
    for split in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        with ShardWriter(f"file:{out}/{split.name}-%06d.tar", maxcount=per_shard, verbose=0) as writer:
            for entry in sorted(split.iterdir(), key=lambda entry: natural_key(entry.name)):
                if entry.name not in names:
                    names.append(entry.name)
                for path in sorted(entry.iterdir()):
                    number = names.index(entry.name)
                    label = {
                        "numbers": {"cls": number},
                        "names": {"cls": entry.name.encode()},
                        "json": {"json": {"label": entry.name, "more": [1]}},
                    }[classes]
                    key = f"{entry.name}/{path.stem}".replace(" ", "-")
                    writer.write({"__key__": key, path.suffix[1:]: path.read_bytes(), **label})
    if classes == "numbers":
        (out / "classes.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return out
