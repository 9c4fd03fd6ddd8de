"""The thinc side: registered architectures and the layers they are made of."""
