//! The four calls of a KEDA scaler. KEDA itself brings a workload from zero to one and back, as
//! `IsActive` says; what is between, a HorizontalPodAutoscaler of its does, by `GetMetrics`.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use tidegate_proto::keda::external_scaler_server::ExternalScaler;
use tidegate_proto::keda::{
    GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse, MetricSpec,
    MetricValue, ScaledObjectRef,
};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::measure::Measure;
use crate::published::{Numbers, Published, Said, ScalerName};

/// Longest message that is read: a reference with a dozen keys has some hundred bytes.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Responses of a stream that may wait: whoever reads slowly needs only the newest.
const RESPONSES_MAX: usize = 1;

/// Streams that may be open at a time, of all connections: what one ScaledObject keeps is one of
/// them, and a cluster of five thousand with several operators still fits.
pub const STREAMS_IN_ALL_MAX: usize = 16_384;

/// The keys of a trigger's metadata. All others are KEDA's own.
const SCALER_KEY: &str = "trafficScaler";
const MEASURE_KEY: &str = "metric";
const TARGET_KEY: &str = "target";

/// Answers KEDA from what is published.
#[derive(Debug, Clone)]
pub struct Scaler {
    published: Arc<Published>,
    streams: Arc<Semaphore>,
}

/// What a trigger asks for.
#[derive(Debug, Clone, PartialEq)]
struct Trigger {
    scaler: ScalerName,
    measure: Measure,
    /// How much of it one replica is to have.
    target: f64,
}

impl Trigger {
    fn read(reference: &ScaledObjectRef) -> Result<Self, Status> {
        let metadata = &reference.scaler_metadata;
        let name = metadata.get(SCALER_KEY).unwrap_or(&reference.name);
        let measure = measure(metadata)?;
        let target = match (metadata.get(TARGET_KEY), measure) {
            (None, Measure::DesiredReplicas) => 1.0,
            (None, Measure::Concurrency) => {
                let message = "metric concurrency needs a target: requests in flight that one \
                               replica is to have, such as target: \"7\"";
                return Err(Status::invalid_argument(message));
            }
            (Some(text), _) => match text.parse::<f64>() {
                Ok(target) if target.is_finite() && target > 0.0 => target,
                _ => {
                    let message = format!("target {text:?} is no number above 0");
                    return Err(Status::invalid_argument(message));
                }
            },
        };
        let scaler = ScalerName { namespace: reference.namespace.clone(), name: name.clone() };
        Ok(Self { scaler, measure, target })
    }
}

fn measure(metadata: &HashMap<String, String>) -> Result<Measure, Status> {
    match metadata.get(MEASURE_KEY).map(String::as_str) {
        None | Some("desiredReplicas") => Ok(Measure::DesiredReplicas),
        Some("concurrency") => Ok(Measure::Concurrency),
        Some(other) => {
            let message =
                format!("metric {other:?} is unknown: expected desiredReplicas or concurrency");
            Err(Status::invalid_argument(message))
        }
    }
}

impl Scaler {
    /// One that answers from `published`.
    #[must_use]
    pub fn new(published: Arc<Published>) -> Self {
        Self { published, streams: Arc::new(Semaphore::new(STREAMS_IN_ALL_MAX)) }
    }

    /// The numbers that a trigger asks for. KEDA leaves everything as it is after an error.
    fn numbers(&self, scaler: &ScalerName) -> Result<Numbers, Status> {
        if !self.published.is_in_force() {
            return Err(Status::unavailable("this controller no longer decides: ask again"));
        }
        match self.published.of(scaler) {
            Some(Ok(numbers)) => Ok(numbers),
            Some(Err(why)) => {
                let message = format!("TrafficScaler {scaler} has no number: {why}");
                Err(Status::unavailable(message))
            }
            None => Err(missing(scaler)),
        }
    }
}

fn missing(scaler: &ScalerName) -> Status {
    Status::not_found(format!(
        "there is no TrafficScaler {scaler}: create it, or name another one by {SCALER_KEY} in the \
         metadata of the trigger"
    ))
}

#[tonic::async_trait]
impl ExternalScaler for Scaler {
    async fn is_active(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<IsActiveResponse>, Status> {
        let trigger = Trigger::read(request.get_ref())?;
        let numbers = self.numbers(&trigger.scaler)?;
        Ok(Response::new(IsActiveResponse { result: numbers.recommendation.replicas > 0 }))
    }

    type StreamIsActiveStream =
        Pin<Box<dyn Stream<Item = Result<IsActiveResponse, Status>> + Send + 'static>>;

    async fn stream_is_active(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<Self::StreamIsActiveStream>, Status> {
        let trigger = Trigger::read(request.get_ref())?;
        let permit = Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!("{STREAMS_IN_ALL_MAX} streams are open already"))
        })?;
        let (responses, stream) = mpsc::channel(RESPONSES_MAX);
        let published = Arc::clone(&self.published);
        tokio::spawn(async move {
            push(published, trigger.scaler, responses).await;
            drop(permit);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn get_metric_spec(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<GetMetricSpecResponse>, Status> {
        let trigger = Trigger::read(request.get_ref())?;
        let spec = MetricSpec {
            metric_name: trigger.measure.metric_name().to_owned(),
            // Versions before 2.16 read only whole numbers, and nothing below one of them.
            target_size: (trigger.target.ceil() as i64).max(1),
            target_size_float: trigger.target,
        };
        Ok(Response::new(GetMetricSpecResponse { metric_specs: vec![spec] }))
    }

    async fn get_metrics(
        &self,
        request: Request<GetMetricsRequest>,
    ) -> Result<Response<GetMetricsResponse>, Status> {
        let request = request.into_inner();
        let reference = request.scaled_object_ref.unwrap_or_default();
        let trigger = Trigger::read(&reference)?;
        let numbers = self.numbers(&trigger.scaler)?;
        let value = trigger.measure.milli(&numbers) as f64 / 1_000.0;
        let value = MetricValue {
            metric_name: request.metric_name,
            metric_value: value.ceil() as i64,
            metric_value_float: value,
        };
        Ok(Response::new(GetMetricsResponse { metric_values: vec![value] }))
    }
}

/// Says whether a scaler's target is to have replicas, at once and whenever that changes, until the
/// asker is gone or nothing more can be said.
async fn push(
    published: Arc<Published>,
    scaler: ScalerName,
    responses: mpsc::Sender<Result<IsActiveResponse, Status>>,
) {
    let mut said = published.watch(&scaler);
    let mut last = None;
    loop {
        let is_active = is_active(&said.borrow_and_update());
        if !published.is_in_force() {
            let over = Status::unavailable("this controller no longer decides: ask again");
            let _ = responses.send(Err(over)).await;
            return;
        }
        // While there is no number, what was said last stays in force, as for everybody else.
        if let Some(result) = is_active
            && last != is_active
        {
            if responses.send(Ok(IsActiveResponse { result })).await.is_err() {
                return;
            }
            last = is_active;
        }
        tokio::select! {
            changed = said.changed() => if changed.is_err() {
                let _ = responses.send(Err(missing(&scaler))).await;
                return;
            },
            () = responses.closed() => return,
        }
    }
}

fn is_active(said: &Said) -> Option<bool> {
    let recommendation = said.as_ref()?.as_ref().ok()?;
    Some(recommendation.replicas > 0)
}
