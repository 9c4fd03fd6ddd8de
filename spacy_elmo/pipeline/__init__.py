"""The `elmo` component, its listeners, and the component `punct_sentencizer`."""
