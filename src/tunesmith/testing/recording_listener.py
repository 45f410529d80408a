"""A listener that keeps its events: the fake beside the command line's display."""

from tunesmith.events import Event, Notice
from tunesmith.progress_listener import ProgressListener


class RecordingListener(ProgressListener):
    """Keeps every event, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        super().__init__([self.events.append])

    @property
    def messages(self) -> list[str]:
        """The sentences of all notices."""
        return [event.message for event in self.events if isinstance(event, Notice)]

    @property
    def codes(self) -> list[str]:
        """The codes of all notices."""
        return [event.code for event in self.events if isinstance(event, Notice)]
