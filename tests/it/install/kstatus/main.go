// Prints what those that judge objects make of each YAML file of a folder, as `NAME KSTATUS FLUX`: kstatus, by which Flux and others
// go, and the expressions (healthCheckExprs) of a Kustomization of Flux, evaluated by Flux's own library.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(folder, kustomizations string) error {
	expressions, err := expressionsOf(kustomizations)
	if err != nil {
		return err
	}
	flux, err := cel.NewStatusEvaluator(expressions)
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		object, err := read(file)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		kstatus, err := status.Compute(object)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		// Flux says what is wrong with the expressions, and takes the object for none of what kstatus knows.
		word := "Error"
		if judged, err := flux.Evaluate(context.Background(), object); err == nil {
			word = judged.Status.String()
		}
		fmt.Println(strings.TrimSuffix(filepath.Base(file), ".yaml"), kstatus.Status, word)
	}
	return nil
}

func read(file string) (*unstructured.Unstructured, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	// By way of JSON, as the API server answers: its whole numbers stay whole.
	json, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, err
	}
	object := &unstructured.Unstructured{}
	return object, object.UnmarshalJSON(json)
}

// The expressions of the one Kustomization in a file that has some.
func expressionsOf(file string) (*kustomize.HealthCheckExpressions, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for _, document := range strings.Split(string(text), "\n---\n") {
		var one struct {
			Spec struct {
				HealthCheckExprs []kustomize.CustomHealthCheck `json:"healthCheckExprs"`
			} `json:"spec"`
		}
		if err := yaml.Unmarshal([]byte(document), &one); err != nil {
			return nil, err
		}
		if len(one.Spec.HealthCheckExprs) > 0 {
			return &one.Spec.HealthCheckExprs[0].HealthCheckExpressions, nil
		}
	}
	return nil, fmt.Errorf("%s has no healthCheckExprs", file)
}
