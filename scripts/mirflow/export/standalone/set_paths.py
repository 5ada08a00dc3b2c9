"""Write the place where this export lies now into its files: run it after the export was moved or copied.

python set_paths.py
"""

import json
import os


def main(root):
    """Replace the place that export.json names, in the files that it lists, by the directory `root`."""
    about = os.path.join(root, "export.json")
    with open(about, encoding="utf-8") as file:
        report = json.load(file)
    old = report["place"]
    for name in report["with_paths"]:
        path = os.path.join(root, name)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if name.endswith(".jsonl"):
            lines = [
                json.dumps(replaced(json.loads(line), old, root), ensure_ascii=False) for line in text.splitlines()
            ]
            text = "".join(line + "\n" for line in lines)
        else:
            text = json.dumps(replaced(json.loads(text), old, root), indent=2, ensure_ascii=False) + "\n"
        write(path, text)
    report["place"] = root
    write(about, json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    print(f"{len(report['with_paths'])} files now name {root}")


def replaced(value, old, new):
    """Return a JSON value with `new` for the directory `old` in all texts that are paths."""
    if isinstance(value, dict):
        return {key: replaced(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [replaced(item, old, new) for item in value]
    if isinstance(value, str) and (value == old or value.startswith(old + "/")):
        return new + value[len(old) :]
    return value


def write(path, text):
    """Write a file beside its place, and move it there."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".new", path)


if __name__ == "__main__":
    main(os.path.dirname(os.path.abspath(__file__)))
