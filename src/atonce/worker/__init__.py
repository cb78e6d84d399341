"""The far side: what runs the items, in whatever place. The only package a worker imports, so it imports little."""
