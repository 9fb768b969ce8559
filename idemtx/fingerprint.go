package idemtx

// Fingerprint tells two requests apart: SHA-256 over operation and payload.
type Fingerprint [32]byte
