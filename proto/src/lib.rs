//! Wire contracts: Tidegate's gRPC services and Knative's protobuf messages.
