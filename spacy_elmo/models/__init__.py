"""thinc layers, registered architectures, and the bridge between thinc and torch."""
