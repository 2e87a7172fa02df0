"""What can go wrong between a picture and a mood. Each message is meant for the visitor: it says what to do."""


class EmotionError(Exception):
    """Base of every error that this package raises on purpose."""


class PictureError(EmotionError):
    """The bytes are no picture that can be read: wrong type, damaged, too large or too small."""


class NoFaceError(EmotionError):
    """No face was found in the picture, or there is none with the number asked for."""


class RecogniserError(EmotionError):
    """A recogniser cannot run: its weights are missing or are not the expected ones."""


class UnknownMoodError(EmotionError, ValueError):
    """A mood that is none of the nine."""
