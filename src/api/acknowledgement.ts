/** GET /v1/acknowledgements (the controller): NDJSON, one line per destination with a split, at once and on change. */
export interface AcknowledgementFrame {
  type: 'acknowledgement' | 'ping';
  key: string;
  /** `namespace/name` of the TrafficSplit. */
  split: string;
  /** resourceVersion of the TrafficSplit that these proxies were sent. */
  version: string;
  /** Proxies subscribed to the destination, whether connected or within their lease. */
  subscribed: number;
  /** … of which route by `version`. */
  acknowledged: number;
  /**
   * False for the first moments of a replica's life, while proxies that were connected before may be missing from the
   * counts: then `acknowledged === subscribed` proves nothing. Absent means settled.
   */
  settled?: boolean;
}
