//! Access logs of text, each as the server's own notation writes it.
//!
//! Variables have one meaning in all of them, that of [`crate::variables`], so a pattern is nearly
//! all there is to say; a user's `--log-format` takes the same way.

use crate::description::{Description, Only, Record, never};
use crate::variables::{REVISIONS, SERVICES, STAMPS};

/// What the combined format of nginx and Apache begins with.
pub(crate) const COMBINED_BASE: &str = "$prefix [$time_local] \"$request\" $status \
     $body_bytes_sent \"$http_referer\" \"$http_user_agent\"";

/// What the common format begins with.
pub(crate) const COMMON_BASE: &str = "$prefix [$time_local] \"$request\" $status $body_bytes_sent";

/// A format whose lines are `pattern`.
pub(crate) const fn text(name: &'static str, pattern: &'static str) -> Description {
    Description {
        stamps: &STAMPS,
        services: &SERVICES,
        revision: &REVISIONS,
        ..Description::new(name, Record::Text(pattern))
    }
}

/// What a proxy writes as the request line of a connection that carried no HTTP.
const NO_HTTP: [Only; 1] = [never("request", &["- - -"])];

/// Same as [`text`], for proxies that also log connections that carried no HTTP.
const fn text_of_requests(name: &'static str, pattern: &'static str) -> Description {
    Description { only: &NO_HTTP, ..text(name, pattern) }
}

pub(crate) const ALL: [Description; 20] = [
    text(
        "ingress-nginx",
        "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \
         \"$http_referer\" \"$http_user_agent\" $request_length $request_time \
         [$proxy_upstream_name] [$proxy_alternative_upstream_name] $upstream_addr \
         $upstream_response_length $upstream_response_time $upstream_status $req_id",
    ),
    text(
        "ingress-nginx",
        "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \
         \"$http_referer\" \"$http_user_agent\" $request_length $request_time \
         [$proxy_upstream_name] $upstream_addr $upstream_response_length \
         $upstream_response_time $upstream_status $req_id",
    ),
    text(
        "ingress-nginx",
        "$remote_addr - [$the_real_ip] - $remote_user [$time_local] \"$request\" $status \
         $body_bytes_sent \"$http_referer\" \"$http_user_agent\" $request_length $request_time \
         [$proxy_upstream_name] [$proxy_alternative_upstream_name] $upstream_addr \
         $upstream_response_length $upstream_response_time $upstream_status $req_id",
    ),
    text(
        "ingress-nginx",
        "$remote_addr - [$the_real_ip] - $remote_user [$time_local] \"$request\" $status \
         $body_bytes_sent \"$http_referer\" \"$http_user_agent\" $request_length $request_time \
         [$proxy_upstream_name] $upstream_addr $upstream_response_length \
         $upstream_response_time $upstream_status $req_id",
    ),
    text(
        "ingress-nginx",
        "$remote_addr - [$the_real_ip] - $remote_user [$time_local] \"$request\" $status \
         $body_bytes_sent \"$http_referer\" \"$http_user_agent\" $request_length $request_time \
         [$proxy_upstream_name] $upstream_addr $upstream_response_length \
         $upstream_response_time $upstream_status",
    ),
    text(
        "traefik-clf",
        "$remote_addr - $remote_user [$time_start] \"$request\" $status $body_bytes_sent \
         \"$http_referer\" \"$http_user_agent\" $request_count \"$router_name\" \
         \"$server_url\" ${duration_ms}ms",
    ),
    text_of_requests(
        "istio",
        "[$START_TIME] \"$request\" $RESPONSE_CODE $RESPONSE_FLAGS $RESPONSE_CODE_DETAILS \
         $CONNECTION_TERMINATION_DETAILS \"$UPSTREAM_TRANSPORT_FAILURE_REASON\" $BYTES_RECEIVED \
         $BYTES_SENT $DURATION $UPSTREAM_SERVICE_TIME \"$X_FORWARDED_FOR\" \"$USER_AGENT\" \
         \"$X_REQUEST_ID\" \"$AUTHORITY\" \"$UPSTREAM_HOST\" $UPSTREAM_CLUSTER \
         $UPSTREAM_LOCAL_ADDRESS $DOWNSTREAM_LOCAL_ADDRESS $DOWNSTREAM_REMOTE_ADDRESS \
         $REQUESTED_SERVER_NAME $ROUTE_NAME",
    ),
    text_of_requests(
        "istio",
        "[$START_TIME] \"$request\" $RESPONSE_CODE $RESPONSE_FLAGS \"$MIXER_STATUS\" \
         \"$UPSTREAM_TRANSPORT_FAILURE_REASON\" $BYTES_RECEIVED $BYTES_SENT $DURATION \
         $UPSTREAM_SERVICE_TIME \"$X_FORWARDED_FOR\" \"$USER_AGENT\" \"$X_REQUEST_ID\" \
         \"$AUTHORITY\" \"$UPSTREAM_HOST\" $UPSTREAM_CLUSTER $UPSTREAM_LOCAL_ADDRESS \
         $DOWNSTREAM_LOCAL_ADDRESS $DOWNSTREAM_REMOTE_ADDRESS $REQUESTED_SERVER_NAME \
         $ROUTE_NAME",
    ),
    text_of_requests(
        "envoy",
        "[$START_TIME] \"$request\" $RESPONSE_CODE $RESPONSE_FLAGS $BYTES_RECEIVED $BYTES_SENT \
         $DURATION $UPSTREAM_SERVICE_TIME \"$X_FORWARDED_FOR\" \"$USER_AGENT\" \
         \"$X_REQUEST_ID\" \"$AUTHORITY\" \"$UPSTREAM_HOST\"",
    ),
    text(
        "haproxy-http",
        "$client_ip:$client_port [$accept_date] $frontend $backend/$server \
         $TR/$Tw/$Tc/$Tr/$Ta $haproxy_status $bytes_read $captured_request_cookie \
         $captured_response_cookie $termination_state \
         $actconn/$feconn/$beconn/$srv_conn/$retries $srv_queue/$backend_queue $rest",
    ),
    text(
        "haproxy-tcp",
        "$client_ip:$client_port [$accept_date] $frontend $backend/$server $Tw/$Tc/$Tt \
         $bytes_read $termination_state $actconn/$feconn/$beconn/$srv_conn/$retries \
         $srv_queue/$backend_queue",
    ),
    text(
        "alb",
        "$lb_type $lb_time $elb $client $target $request_processing_time \
         $target_processing_time $response_processing_time $elb_status_code \
         $target_status_code $received_bytes $sent_bytes \"$request\" \"$user_agent\" \
         $ssl_cipher $ssl_protocol $target_group_arn \"$trace_id\" \"$domain_name\" \
         \"$chosen_cert_arn\" $matched_rule_priority $request_creation_time $rest",
    ),
    text(
        "elb",
        "$elb_timestamp $elb $client $backend_address $request_processing_time \
         $backend_processing_time $response_processing_time $elb_status_code \
         $backend_status_code $received_bytes $sent_bytes \"$request\" \"$user_agent\" \
         $ssl_cipher $ssl_protocol",
    ),
    text(
        "elb",
        "$elb_timestamp $elb $client $backend_address $request_processing_time \
         $backend_processing_time $response_processing_time $elb_status_code \
         $backend_status_code $received_bytes $sent_bytes \"$request\"",
    ),
    text(
        "api-gateway-clf",
        "$remote_addr $caller $user [$time_start] \"$request\" $status $response_length \
         $request_id $extended_request_id",
    ),
    text(
        "heroku",
        "$router_time heroku[router]: at=$level method=$method path=\"$path\" host=$host \
         request_id=$request_id fwd=\"$fwd\" dyno=$dyno connect=${connect_ms}ms \
         service=${duration_ms}ms status=$status bytes=$bytes $rest",
    ),
    text("gin", "[GIN] $gin_time | $status | $gin_latency | $gin_client | $gin_method \"$path\""),
    text("gin", "[GIN] $gin_time |$status| $gin_latency | $gin_client |$gin_method \"$path\""),
    text("combined", COMBINED_BASE),
    text("combined", COMMON_BASE),
];
