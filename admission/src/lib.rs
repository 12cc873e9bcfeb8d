//! Who may enter now, who waits, who is refused; and how busy it was.
