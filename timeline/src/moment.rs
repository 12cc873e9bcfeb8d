//! What a request that meets no ready instance waits for, one after the other.

/// A moment of a cold start, after the request was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// The controller decided that an instance is to be there.
    Decided,
    /// That was carried out: the order to start it was given.
    Actuated,
    /// Its process, or its pod's, began.
    Started,
    /// Its app accepted a connection.
    Listening,
    /// The controller heard that it takes requests.
    Ready,
    /// The request was sent to it.
    Forwarded,
    /// The first byte of the response was there.
    FirstByte,
}

impl Moment {
    /// How many there are.
    pub const COUNT: usize = 7;

    /// All of them, in their order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Decided,
        Self::Actuated,
        Self::Started,
        Self::Listening,
        Self::Ready,
        Self::Forwarded,
        Self::FirstByte,
    ];

    /// The name of the phase that ends with it, as metrics and headers have it.
    #[must_use]
    pub const fn phase(self) -> &'static str {
        match self {
            Self::Decided => "decide",
            Self::Actuated => "actuate",
            Self::Started => "start",
            Self::Listening => "listen",
            Self::Ready => "ready",
            Self::Forwarded => "forward",
            Self::FirstByte => "respond",
        }
    }

    /// What is so from then on, as a sentence has it.
    #[must_use]
    pub const fn state(self) -> &'static str {
        match self {
            Self::Decided => "decided",
            Self::Actuated => "actuated",
            Self::Started => "started",
            Self::Listening => "listening",
            Self::Ready => "ready",
            Self::Forwarded => "forwarded",
            Self::FirstByte => "first byte",
        }
    }

    /// What its phase waits for, in a few words.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Decided => "the controller hears of it and decides",
            Self::Actuated => "the decision is carried out",
            Self::Started => "the process begins",
            Self::Listening => "the app begins to listen",
            Self::Ready => "the controller hears that it is ready",
            Self::Forwarded => "the front door hears of it, and it is the request's turn",
            Self::FirstByte => "the app answers",
        }
    }
}
