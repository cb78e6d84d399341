"""The decisions, pure (`machine`, `order`, `retry`, `limit`), and what carries them out (`conductor`, `drive`)."""
