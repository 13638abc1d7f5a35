"""Where the book and its repository are, so that pages lead there: to edit them, to report a mistake, to run them.

GitHub's workflows name the repository in the environment; elsewhere `repository: {url: ...}` in `_config.yml` does. The
site is where GitHub's Pages put it unless SITE_URL, or `html_baseurl`, says otherwise. Unknown addresses give no links.
Pages may say `only` where there is a `repository`, or GitHub's, from which a `rocket` starts.
"""

import os
import re

GITHUB = "https://github.com/"


def repository(options: dict) -> str:
    """The repository's address without a slash at its end, or nothing."""
    named = options.get("repository_url")
    if not named and os.environ.get("GITHUB_REPOSITORY"):
        server = os.environ.get("GITHUB_SERVER_URL") or GITHUB
        named = f"{server.rstrip('/')}/{os.environ['GITHUB_REPOSITORY']}"
    return (named or "").rstrip("/").removesuffix(".git")


def pages(url: str) -> str:
    """Where GitHub publishes the site of a repository, or nothing if it is not GitHub's."""
    if not (found := re.fullmatch(rf"{GITHUB}([^/]+)/([^/]+)", url)):
        return ""
    owner, name = (part.lower() for part in found.groups())
    host = f"{owner}.github.io"
    return f"https://{host}/" if name == host else f"https://{host}/{found[2]}/"


def configure(app, config) -> None:
    """Tell theme and Sphinx what is known."""
    options = config.html_theme_options
    if url := repository(options):
        options.update(repository_url=url, use_repository_button=True)
        options.update(use_edit_page_button=True, use_issues_button=True)
        app.tags.add("repository")
        if url.startswith(GITHUB):
            app.tags.add("rocket")
        if not re.search("github|gitlab|bitbucket", url):
            options["repository_provider"] = "github"
    site = config.html_baseurl or os.environ.get("SITE_URL") or pages(url)
    config.html_baseurl = f"{site.rstrip('/')}/" if site else ""


def setup(app):
    """Register it, ahead of the theme."""
    app.connect("config-inited", configure, priority=100)
    return {"parallel_read_safe": True}
