// Prints what kstatus, by which Flux and others judge objects, makes of each YAML file of a folder: `NAME STATUS`.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(folder string) error {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		// By way of JSON, as the API server answers: its whole numbers stay whole.
		json, err := yaml.YAMLToJSON(text)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(json); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		result, err := status.Compute(object)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		fmt.Println(strings.TrimSuffix(filepath.Base(file), ".yaml"), result.Status)
	}
	return nil
}
