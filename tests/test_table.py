"""The README tells what the code does."""

from conftest import REPOSITORY
from mirflow import registry, table


def test_the_table_in_the_readme_is_that_of_the_code():
    page = (REPOSITORY / "README.md").read_text()
    assert table.insert(page) == page, "run `make features`"


def test_every_key_has_its_line_with_unit_and_meaning():
    lines = table.markdown().splitlines()
    for feature in registry.features():
        for field in feature.fields:
            line = next(line for line in lines if f"| `{field.key}` |" in line)
            assert field.unit and field.unit in line
            assert field.meaning and field.meaning.replace("|", "\\|") in line
