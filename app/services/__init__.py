"""What the API and the pages share: the application's context and the operations behind both."""
