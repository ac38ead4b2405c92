/** The client library, apart: its HTTP client takes a tenth of a second to load, so it is loaded with the first query. */
export { PrometheusDriver } from 'prometheus-query';
