package main

import (
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// entryPoints are the programs of our images, as their Dockerfiles say.
var entryPoints = map[string]string{"fairlead/control": "/usr/local/bin/fairlead-control", "fairlead/proxy": "/usr/local/bin/fairlead-proxy",
	"fairlead/cli": "/usr/local/bin/fairlead"}

// imageName is an image without its tag or digest.
func imageName(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if at := strings.LastIndexByte(image, ':'); at > strings.LastIndexByte(image, '/') {
		image = image[:at]
	}
	return image
}

// root returns the root file system of an image that is there to be run, empty when echo servers stand for it.
func (a *podAgent) root(image string) string {
	name := imageName(image)
	if a.images == "" || entryPoints[name] == "" {
		return ""
	}
	root := filepath.Join(a.images, name)
	if _, err := os.Stat(root); err != nil {
		return ""
	}
	return root
}

// runs tells whether a pod is of images that are run here: all of them, or it is one for echo servers.
func (a *podAgent) runs(pod *corev1.Pod) bool {
	for _, c := range append(append([]corev1.Container(nil), pod.Spec.InitContainers...), pod.Spec.Containers...) {
		if a.root(c.Image) == "" {
			return false
		}
	}
	return true
}

// expand replaces $(NAME) by what it stands for and leaves what it does not know; $$ is a $.
func expand(text string, env map[string]string) string {
	var out strings.Builder
	for at := 0; at < len(text); at++ {
		if text[at] != '$' || at+1 == len(text) {
			out.WriteByte(text[at])
			continue
		}
		if text[at+1] == '$' {
			out.WriteByte('$')
			at++
			continue
		}
		end := strings.IndexByte(text[at:], ')')
		if text[at+1] == '(' && end > 0 {
			if value, known := env[text[at+2:at+end]]; known {
				out.WriteString(value)
				at += end
				continue
			}
		}
		out.WriteByte('$')
	}
	return out.String()
}
