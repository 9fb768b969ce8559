// Package allocations has a test that counts the allocations of each way in. They
// are counted over all goroutines of the process, so it is alone in its package.
// With the race detector, which allocates on its own account, it is left out.
package allocations
