//! How copies of requests end, in numbers.

/// What becomes of the copy of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MirrorOutcome {
    /// Its answer came, and was none of a server's error.
    Answered,
    /// It got an error or no answer.
    Failed,
    /// Too many were under way, or the request's body was not passed on as a whole: none was made.
    Dropped,
    /// The request is too long or changes its protocol, and none was made.
    Unsuited,
}

impl MirrorOutcome {
    pub(crate) const ALL: [Self; 4] = [Self::Answered, Self::Failed, Self::Dropped, Self::Unsuited];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
            Self::Unsuited => "unsuited",
        }
    }
}
