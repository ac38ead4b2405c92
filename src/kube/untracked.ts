/**
 * Metadata of a write that ends the record of who owns which field (`isResetManagedFields` in k8s.io/apimachinery). To keep it is a
 * fifth to a half of what such a write costs an API server, the more the larger the object, and nobody asks it about an object that
 * controllers alone write; a server-side apply by somebody begins it anew. Never for an object of the user's, nor for a Rollout.
 */
export const UNTRACKED = { managedFields: [{}] };
