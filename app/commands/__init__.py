"""The commands of `hindsight`, by what they are about; `app.cli` registers them."""
