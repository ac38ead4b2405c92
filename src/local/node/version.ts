/** What this node reports as its kubelet version. */
export const VERSION = 'v1.32.0-weir';
