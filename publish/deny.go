package publish

import (
	"path"
	"strings"
)

// secretNames are files and folders that never leave a workspace unless the
// caller names them, sealed or not: a reader of the log is not meant to have the
// runner's credentials. They are path.Match patterns for one part of a path, in
// lower case.
var secretNames = []string{
	// history and its credentials
	".git", ".hg", ".svn", ".git-credentials", ".gitconfig",
	// environments and package registries
	".env*", ".netrc", "_netrc", ".npmrc", ".yarnrc*", ".pypirc", ".htpasswd", ".pgpass", ".my.cnf",
	".vault_pass*", "vault_pass*", ".vault-token",
	// clouds and containers
	".aws", ".azure", ".boto", ".docker", ".dockercfg", ".kube", "kubeconfig", ".s3cfg", "application_default_credentials.json",
	"clouds.yaml", "clouds.yml", "rclone.conf", ".terraformrc", "*.tfstate",
	// keys
	".ssh", ".gnupg", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*",
	"*.pem", "*.key", "*.p12", "*.pfx", "*.kdbx", "*.jks", "*.keystore", "*.ppk",
}

// secretPart returns the part of a slash-separated path that should not be
// published, or "".
func secretPart(p string) string {
	for part := range strings.SplitSeq(p, "/") {
		name := strings.ToLower(part)
		for _, pattern := range secretNames {
			if ok, _ := path.Match(pattern, name); ok && !publicHalf(name) {
				return part
			}
		}
	}
	return ""
}

// secretFolder returns the part of an argument's own path in which everything is
// secret, whatever it is called, or "".
func secretFolder(dir string) string {
	for part := range strings.SplitSeq(dir, "/") {
		switch strings.ToLower(part) {
		case ".git", ".hg", ".svn", ".ssh", ".gnupg", ".aws", ".azure", ".docker", ".kube":
			return part
		}
	}
	return ""
}

// publicHalf reports whether a name is that of an SSH public key.
func publicHalf(name string) bool {
	return strings.HasPrefix(name, "id_") && strings.HasSuffix(name, ".pub")
}
