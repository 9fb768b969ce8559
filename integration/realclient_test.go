package integration

import (
	"os"
	osexec "os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRealClients lets clients and proxies that people use lose answers of
// examples/orders, and counts the orders.
func TestRealClients(t *testing.T) {
	t.Parallel()
	program := buildOrders(t)
	for name, test := range map[string]func(ordersTest){
		"CurlSpellsTheKey":          ordersTest.curlSpellings,
		"CurlTriesAgain":            ordersTest.curlTriesAgain,
		"CurlReusesAConnection":     ordersTest.curlReusesAConnection,
		"CurlSendsChunks":           ordersTest.curlChunks,
		"CurlSendsAForm":            ordersTest.curlForm,
		"CurlAsksBeforeItUploads":   ordersTest.curlExpects,
		"NetHTTPReusesAConnection":  ordersTest.netHTTPReusesAConnection,
		"TransportTriesAgain":       ordersTest.transportTriesAgain,
		"TransportOutlivesAProcess": ordersTest.transportOutlivesAProcess,
		"NginxLosesAnAnswer":        ordersTest.nginxLosesAnAnswer,
		"NginxLosesAProcess":        ordersTest.nginxLosesAProcess,
		"NginxLosesItsPatience":     ordersTest.nginxLosesItsPatience,
		"NginxByItsDefaults":        ordersTest.nginxByItsDefaults,
		"NginxSpreadsAStorm":        ordersTest.nginxSpreadsAStorm,
		"NginxPassesTheKey":         ordersTest.nginxPassesTheKey,
		"NginxTakesTheBody":         ordersTest.nginxTakesTheBody,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(ordersTest{t, program})
		})
	}
}

// tool returns the path of a program from a Debian package. Without it the test
// is skipped, unless IDEMTX_TOOLS says that it is required.
func tool(t *testing.T, program, debian string) (path string) {
	t.Helper()
	path, err := osexec.LookPath(program)
	if err != nil { // an ordinary user's PATH has no folder of daemons
		path, err = osexec.LookPath(filepath.Join("/usr/sbin", program))
	}
	if err != nil && os.Getenv("IDEMTX_TOOLS") != "required" {
		t.Skipf("%s is missing: apt-get install %s", program, debian)
	}
	require.NoError(t, err, "apt-get install %s", debian)
	return path
}

// placed counts the orders that were committed.
func (s *ordersService) placed() int {
	s.t.Helper()
	return ask[int](s.t, "SELECT count(*) FROM "+s.schema+".orders")
}

// at is the service as it is found at another address.
func (s *ordersService) at(url string) *ordersService {
	elsewhere := *s
	elsewhere.url = url
	return &elsewhere
}
