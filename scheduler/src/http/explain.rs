//! Why things are as they are, for programs: what the operator's pages and command line say.

use super::{State, error::ApiError};
use crate::explain::{self, Question};
use actix_web::{get, web};
use serde_json::Value;

async fn told(state: &State, question: Question) -> Result<web::Json<Value>, ApiError> {
    let (document, told) = explain::answer(state, &question).await?;
    let mut document = document;
    document["answer"] = told.answer.into();
    Ok(web::Json(document))
}

/// Why nothing is scheduled.
#[utoipa::path(get, path = "/v1/explain/pool", responses((status = 200, description = "quorate.pool-explanation/v1")))]
#[get("/v1/explain/pool")]
pub(crate) async fn pool(state: web::Data<State>) -> Result<web::Json<Value>, ApiError> {
    told(&state, Question::Pool).await
}

/// Why settlement is late, or when it is due.
#[utoipa::path(get, path = "/v1/explain/settlement", responses((status = 200, description = "quorate.settlement-explanation/v1")))]
#[get("/v1/explain/settlement")]
pub(crate) async fn settlement(state: web::Data<State>) -> Result<web::Json<Value>, ApiError> {
    told(&state, Question::Settlement).await
}

/// What the pool costs its operator a day.
#[utoipa::path(get, path = "/v1/explain/cost", responses((status = 200, description = "quorate.cost-explanation/v1")))]
#[get("/v1/explain/cost")]
pub(crate) async fn cost(state: web::Data<State>) -> Result<web::Json<Value>, ApiError> {
    told(&state, Question::Cost).await
}
