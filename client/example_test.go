package client_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"

	"vitrine/client"
)

// A list of what failed, newest first.
func ExampleClient_AllBuilds() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"builds":[{"uuid":"3f0c9a51d2e84f0b9d1c5a7e2b60aa91","job_name":"deploy-web","result":"FAILURE"}]}`)
	}))
	defer server.Close()

	c, err := client.New(server.URL, "main")
	if err != nil {
		log.Fatal(err)
	}
	query := url.Values{"service": {"web"}, "result": {"not:SUCCESS"}, "from": {"2026-11-01"}}
	for b, err := range c.AllBuilds(context.Background(), query) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(b.JobName, b.Result)
	}
	// Output: deploy-web FAILURE
}

// Who can read a service's logs, and through what.
func ExampleClient_Service() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"name":"web","readers":[{"name":"alice","groups":["infra-root"],"keys":[]}]}`)
	}))
	defer server.Close()

	c, err := client.New(server.URL, "main")
	if err != nil {
		log.Fatal(err)
	}
	service, err := c.Service(context.Background(), "web")
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range service.Readers {
		fmt.Println(r.Name, r.Groups)
	}
	// Output: alice [infra-root]
}
