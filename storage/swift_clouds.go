package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

const maxCloudsFile = 256 << 10 // bytes

// readClouds reads a cloud of clouds.yaml, with what secure.yaml beside it adds.
func readClouds(cloud string) (*swiftLogin, error) {
	file, b, err := findClouds()
	if err != nil {
		return nil, err
	}
	login := new(swiftLogin)
	if err := parseCloud(b, cloud, login); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, name := range []string{"secure.yaml", "secure.yml"} {
		name = filepath.Join(filepath.Dir(file), name)
		b, err := readSmall(name)
		if err == nil {
			err = parseCloud(b, cloud, login)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errNoCloud) {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if login.Profile != "" && login.Auth.AuthURL == "" {
		return nil, fmt.Errorf("%s: cloud %q: profiles of vendors are not known here; write its auth_url", file, cloud)
	}
	return login, nil
}

// findClouds finds clouds.yaml where OpenStack's tools look for it.
func findClouds() (file string, b []byte, err error) {
	var files []string
	if file := os.Getenv("OS_CLIENT_CONFIG_FILE"); file != "" {
		files = []string{file}
	} else {
		dirs := []string{"."}
		if dir, err := os.UserConfigDir(); err == nil {
			dirs = append(dirs, filepath.Join(dir, "openstack"))
		}
		for _, dir := range append(dirs, "/etc/openstack") {
			files = append(files, filepath.Join(dir, "clouds.yaml"), filepath.Join(dir, "clouds.yml"))
		}
	}
	for _, file := range files {
		b, err := readSmall(file)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return file, b, err
		}
	}
	return "", nil, errors.New("a cloud is named, and no clouds.yaml is found: want it in this directory, in ~/.config/openstack, in /etc/openstack, or named by OS_CLIENT_CONFIG_FILE")
}

func readSmall(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxCloudsFile+1))
	if err == nil && len(b) > maxCloudsFile {
		err = fmt.Errorf("more than %d bytes", maxCloudsFile)
	}
	return b, err
}

// errNoCloud says that a file has no cloud of the name.
var errNoCloud = errors.New("no such cloud in it")

// parseCloud adds to login what a file says of a cloud. The file is OpenStack's:
// fields that we do not know are not ours to refuse. Errors repeat nothing of it,
// for there are passwords in it.
func parseCloud(b []byte, cloud string, login *swiftLogin) error {
	var file struct {
		Clouds map[string]yaml.Node `yaml:"clouds"`
	}
	if err := yaml.Unmarshal(b, &file); err != nil {
		return errors.New("not YAML with a map of clouds")
	}
	node, ok := file.Clouds[cloud]
	if !ok {
		return fmt.Errorf("cloud %q: %w", cloud, errNoCloud)
	}
	if err := node.Decode(login); err != nil {
		return fmt.Errorf("cloud %q: a field is not of the kind that it should be", cloud)
	}
	return nil
}
