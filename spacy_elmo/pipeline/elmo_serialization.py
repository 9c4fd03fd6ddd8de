"""Loading of a saved `elmo` component, whose sizes must agree with the config."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from ..models.encoder import Encoder, n_layers_of, shim_of
from ..models.rollback import rollback_on_error
from ..models.serialization import REMEDY, SerializationMixin


class ElmoSerializationMixin(SerializationMixin):
    """The methods of `Elmo` that load a saved component. After an error, the component is
    unchanged."""

    model: Encoder

    def reset_after_load(self) -> None:
        """Drop the layers of previous weights. Called after new weights are loaded."""
        raise NotImplementedError

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> Any:
        """Load the component from bytes; see `SerializationMixin.from_bytes`.

        RETURNS (Elmo): The component.
        RAISES (ValueError): If the bytes are damaged, or have other sizes than the config.
        """
        with self._checking_sizes(f"The saved state of '{self.name}'"):
            super().from_bytes(bytes_data, exclude=exclude)
        self.reset_after_load()
        return self

    def from_disk(self, path: Any, *, exclude: Iterable[str] = ()) -> Any:
        """Load the component from a directory; see `SerializationMixin.from_disk`.

        RETURNS (Elmo): The component.
        RAISES (ValueError): If a file is damaged, or has other sizes than the config.
        """
        with self._checking_sizes(str(path)):
            super().from_disk(path, exclude=exclude)
        self.reset_after_load()
        return self

    @contextmanager
    def _checking_sizes(self, source: str) -> Iterator[None]:
        """Restore the model if the context loads weights of another width or depth.

        source (str): Name of the data that is loaded, for the error message.
        RAISES (ValueError): If the sizes differ from the model's.
        """
        width, depth = expected = self.model.get_dim("nO"), n_layers_of(self.model) - 1
        with rollback_on_error(self.model):
            # unset: thinc would otherwise raise an error that does not name the component
            self.model.set_dim("nO", cast(int, None), force=True)
            yield
            if not self.model.has_dim("nO"):  # the model was excluded
                self.model.set_dim("nO", width)
            found = _sizes_of(self.model)
            if found != expected:
                raise ValueError(
                    f"{source} has width {found[0]} and depth {found[1]}, but the config of "
                    f"'{self.name}' says width = {width} and depth = {depth}. Leave both as they "
                    f"were saved."
                )

    def check_loaded(self, source: str, cfg: dict[str, Any]) -> None:
        shim = shim_of(self.model)
        if shim.loaded:
            options = shim.module.options
            if (options.width, options.n_layers) != _sizes_of(self.model):
                raise ValueError(
                    f"{source} cannot be read: its model and its weights have different sizes. "
                    f"{REMEDY}"
                )


def _sizes_of(model: Encoder) -> tuple[int | None, int]:
    """RETURNS (Tuple[Optional[int], int]): Width and depth of an encoder."""
    return model.maybe_get_dim("nO"), n_layers_of(model) - 1
