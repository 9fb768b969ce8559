// Package interop shows idemhttp in the routers people use, as code to copy, and
// tests it there. It is a module of its own, so that no router is among the
// dependencies of the library:
//
//	cd interop && go test ./...
//
// # Handlers of net/http
//
// [idemhttp.Middleware] fits wherever a func(http.Handler) http.Handler does:
//
//	protection := idemhttp.New(store, idemhttp.Config{Scope: owner})
//	mux.Handle("POST /orders/{id}", protection.Handler(createOrder))         // net/http
//	router.With(protection.Handler).Post("/orders/{id}", createOrder)        // chi
//
// In chi, Router.Use and Mount want [Chi].
//
// # A whole router
//
// Routers that are an [http.Handler] work inside of the protection as they are,
// with their error handlers and recovery:
//
//	http.ListenAndServe(address, protection.Handler(engine))                 // chi, echo, gin
//
// Everything in the router then runs in the transaction, again when the handler
// does, and not at all for a replay. So what authenticates, limits and logs
// belongs around it, and Scope must not rely on what is inside.
//
// # One handler
//
// [Echo], [Gin] and [Fiber] protect one handler of the framework's own kind and
// leave the middleware of its router outside. They all keep to the same rules, as
// an adapter for another framework has to:
//
//   - The handler is called, not the rest of the chain: PostgreSQL may undo a run,
//     and c.Next has moved on by the second one, which would then do nothing,
//     look like an empty 200, and commit.
//   - Each run has a context that is as before the first: headers, values and an
//     Abort of a run that was undone would change what the next one does.
//   - An error becomes a response before the protection sees it, because the
//     status decides what becomes of the transaction. A router turns errors into
//     responses when its middleware has returned, which is after the commit.
//   - Nothing reaches the client's response before the transaction has ended, and
//     after a panic it is as before: a recovery outside answers on it.
//
// Recovery belongs outside in any case. Inside it hides a panic that comes after
// a response was written, and the transaction commits.
package interop
