/** Clients of one listener that have not proved who they are yet: they count in no other limit. */
export const GUESTS = 1024;
