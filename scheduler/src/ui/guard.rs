//! Lets in what may come in (`quorate_common::doors` says what may), and puts the headers on everything that goes
//! out.

use super::{Ui, error::plain};
use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
    middleware::Next,
    web::Data,
};
use quorate_common::doors::{Doors, HEADERS};

/// The pages' middleware.
pub(super) async fn guard(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let ui = request.app_data::<Data<Ui>>().expect("set at start");
    let refusal = refused(&ui.doors, &request);
    let mut response = match refusal {
        Some((status, why)) => request.into_response(plain(status, why)).map_into_boxed_body(),
        None => next.call(request).await?.map_into_boxed_body(),
    };
    for (name, value) in HEADERS {
        let name = HeaderName::from_static(name);
        if !response.headers().contains_key(&name) {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
    }
    Ok(response)
}

fn refused(doors: &Doors, request: &ServiceRequest) -> Option<(StatusCode, &'static str)> {
    let headers = request.headers();
    if !doors.lets_host_in(headers.get_all(header::HOST).map(HeaderValue::as_bytes)) {
        let why = "this is not a name of these pages; set ui.public to the URL they are known by";
        return Some((StatusCode::MISDIRECTED_REQUEST, why));
    }
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let site = text(HeaderName::from_static("sec-fetch-site"));
    if !reads && !doors.lets_form_in(text(header::ORIGIN), site) {
        return Some((StatusCode::FORBIDDEN, "this form was sent from another site"));
    }
    None
}
