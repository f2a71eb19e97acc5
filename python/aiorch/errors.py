"""Every error a user can meet: one root class, one class per cause, each with a sentence to act on."""


class AiorchError(Exception):
    """Root of all errors of this package; `str(error)` is a sentence for the user."""

    exit_code = 1


class UsageError(AiorchError):
    """The command line does not say what to do."""

    exit_code = 2


class TmuxError(AiorchError):
    """tmux refused a command or is gone."""


class TmuxGoneError(TmuxError):
    """The tmux server, or our connection to it, is gone."""


class ConfigError(AiorchError):
    """The configuration has mistakes; all of them are in `problems`, one sentence each."""

    exit_code = 2

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class SettingsError(AiorchError):
    """The user's settings cannot be changed as asked."""


class DirectiveError(AiorchError):
    """A directive cannot be carried out as it was given."""


class AgentMissingError(AiorchError):
    """No agent CLI that could work was found on this machine."""


class EngineError(AiorchError):
    """The engine of this session is not running, or runs already."""

    exit_code = 3


class PipeError(AiorchError):
    """The log of a pane cannot be written now."""


class EngineDiedError(EngineError):
    """The engine was killed, or failed, before it could say anything for users; `details` is for its log."""

    def __init__(self, text: str, details: str = "") -> None:
        super().__init__(text)
        self.details = details


class DiskError(AiorchError):
    """The disk is full or cannot be written: nothing is lost, and nothing goes on until it can be."""


class JournalError(AiorchError):
    """A run's journal cannot be used as it is."""


class JournalDamagedError(JournalError):
    """A run's journal is damaged: what can be read of it is saved when its engine starts next."""


class JournalMovedError(JournalDamagedError):
    """A run's journal was taken away from its place while it was open, and is back."""


class RequestError(AiorchError):
    """The engine refused what it was asked to do."""


class ProfileError(AiorchError):
    """An agent cannot be started in the way that was asked for."""


class TranscriptError(AiorchError):
    """A file is no session file of an agent that we know."""


class InstructionFileError(AiorchError):
    """An agent's instruction file cannot be changed without a loss; nothing was written."""


class ExportError(AiorchError):
    """A run cannot be written to the file that was named."""


class ReplayError(AiorchError):
    """A file that was given to `aiorch replay` cannot be read as what it should be."""

    exit_code = 2


class ExplainError(AiorchError):
    """A screen that was given to `aiorch explain` cannot be read."""

    exit_code = 2


class BundleError(AiorchError):
    """The bundle for a bug report cannot be written where it was asked for."""


class ChangesError(AiorchError):
    """What a worker changed in its git tree cannot be told."""


class GitError(AiorchError):
    """git is missing, failed, or took too long."""


class IsolationError(AiorchError):
    """A worker cannot get a place of its own, and does not start without it."""


class TakenError(IsolationError):
    """The place that was chosen for a worker's worktree is somebody else's by now."""


class WorkError(AiorchError):
    """A worker's work cannot be shown, merged or discarded as things are; nothing was changed."""


class ConflictError(WorkError):
    """A worker's work and the user's branch change the same lines; nothing was changed."""
