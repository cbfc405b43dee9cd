"""Take the documents of the repository's root into the site, and keep the links between them and docs/ right."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_ADDED = {
    "quickstart.md": "README.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "threat-model.md": "SECURITY.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "LICENSE": "LICENSE",
}
"""Names in the site and in the root: `README.md` would be the home page, `SECURITY.md` would hide `security.md`."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the root's documents to those of docs/."""
    root = Path(config.config_file_path).parent
    for name, source in _ADDED.items():
        files.append(File.generated(config, name, abs_src_path=str(root / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return the page with its links as they are in the site, where all documents are in one folder."""
    markdown = markdown.replace("](docs/" if page.file.src_uri in _ADDED else "](../", "](")
    for name, source in _ADDED.items():
        markdown = markdown.replace(f"]({source}", f"]({name}")
    return markdown
