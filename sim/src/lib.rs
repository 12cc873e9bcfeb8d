//! Discrete-event simulator that replays traffic through the real autoscaler and admission code.
