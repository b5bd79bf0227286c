"""For mkdocs: README.md is the first page of the site, BUILD_NOTES.md one of its pages.

In the repository they stand above `docs/`; on the site all stand side by side.
"""

from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
PAGES = {"README.md": "index.md", "BUILD_NOTES.md": "BUILD_NOTES.md"}
PAGES |= {name: name for name in ("CHANGELOG.md", "CONTRIBUTING.md")}
FILES = ("LICENSE", "CITATION.cff")  # that these pages link to


def on_files(files, config):
    for source, target in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, target, content=text))
    for name in FILES:
        content = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown, page, config, files):
    return markdown.replace("](../../BUILD_NOTES.md", "](../BUILD_NOTES.md")
