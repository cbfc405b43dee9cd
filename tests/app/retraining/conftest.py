from tests.app.catalog.conftest import postgres, url

__all__ = ["postgres", "url"]
