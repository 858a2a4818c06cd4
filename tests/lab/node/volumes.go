package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// volumeFile is a file of a volume as it shall be.
type volumeFile struct {
	content []byte
	mode    fs.FileMode
}

// volumes keeps the volumes of one pod in folders, as a kubelet does: what Secrets, ConfigMaps and tokens hold is exchanged as a whole, by a symbolic link.
// Only its machine's thread touches it.
type volumes struct {
	agent  *podAgent
	pod    *corev1.Pod
	ip     netip.Addr
	folder string
	shown  map[string]map[string]volumeFile // by volume
	swaps  int
	tokens map[string]token // by audience and time
}

type token struct {
	text  string
	renew time.Time
}

func newVolumes(agent *podAgent, pod *corev1.Pod, ip netip.Addr, folder string) *volumes {
	return &volumes{agent: agent, pod: pod, ip: ip, folder: folder, shown: map[string]map[string]volumeFile{}, tokens: map[string]token{}}
}

func (v *volumes) path(name string) string { return filepath.Join(v.folder, "volumes", name) }

// refresh makes the folders what the objects say now. errWait when one that is needed is not there.
func (v *volumes) refresh(ctx context.Context) error {
	for i := range v.pod.Spec.Volumes {
		volume := &v.pod.Spec.Volumes[i]
		if volume.EmptyDir != nil {
			if err := v.emptyDir(volume.Name); err != nil {
				return err
			}
			continue
		}
		files, err := v.files(ctx, volume)
		if err == nil {
			err = v.show(volume.Name, files)
		}
		if err != nil {
			return fmt.Errorf("volume %s: %w", volume.Name, err)
		}
	}
	return nil
}

func (v *volumes) emptyDir(name string) error {
	if err := os.Mkdir(v.path(name), 0o777); errors.Is(err, fs.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	if err := v.agent.own(v.path(name), 0, fsGroup(v.pod)); err != nil {
		return err
	}
	return os.Chmod(v.path(name), 0o777|fs.ModeSetgid)
}

func (v *volumes) files(ctx context.Context, volume *corev1.Volume) (map[string]volumeFile, error) {
	switch {
	case volume.Secret != nil:
		files, err := v.secret(volume.Secret.SecretName, volume.Secret.Items, volume.Secret.Optional)
		return withModes(files, volume.Secret.DefaultMode, volume.Secret.Items), err
	case volume.ConfigMap != nil:
		files, err := v.config(volume.ConfigMap.Name, volume.ConfigMap.Items, volume.ConfigMap.Optional)
		return withModes(files, volume.ConfigMap.DefaultMode, volume.ConfigMap.Items), err
	case volume.DownwardAPI != nil:
		return withModes(v.fields(volume.DownwardAPI.Items), volume.DownwardAPI.DefaultMode, nil), nil
	case volume.Projected != nil:
		all := map[string]volumeFile{}
		for i := range volume.Projected.Sources {
			files, items, err := v.projected(ctx, &volume.Projected.Sources[i])
			if err != nil {
				return nil, err
			}
			for path, file := range withModes(files, volume.Projected.DefaultMode, items) {
				all[path] = file
			}
		}
		return all, nil
	}
	return nil, errors.New("the laboratory has no volumes of this kind")
}

func (v *volumes) projected(ctx context.Context, source *corev1.VolumeProjection) (map[string][]byte, []corev1.KeyToPath, error) {
	switch {
	case source.ServiceAccountToken != nil:
		text, err := v.token(ctx, source.ServiceAccountToken)
		return map[string][]byte{source.ServiceAccountToken.Path: []byte(text)}, nil, err
	case source.ConfigMap != nil:
		files, err := v.config(source.ConfigMap.Name, source.ConfigMap.Items, source.ConfigMap.Optional)
		return files, source.ConfigMap.Items, err
	case source.Secret != nil:
		files, err := v.secret(source.Secret.Name, source.Secret.Items, source.Secret.Optional)
		return files, source.Secret.Items, err
	case source.DownwardAPI != nil:
		return v.fields(source.DownwardAPI.Items), nil, nil
	}
	return nil, nil, errors.New("the laboratory has no projection of this kind")
}

func (v *volumes) fields(items []corev1.DownwardAPIVolumeFile) map[string][]byte {
	files := map[string][]byte{}
	for _, item := range items {
		if item.FieldRef != nil {
			files[item.Path] = []byte(v.agent.field(v.pod, item.FieldRef.FieldPath, v.ip))
		}
	}
	return files
}

func (v *volumes) secret(name string, items []corev1.KeyToPath, optional *bool) (map[string][]byte, error) {
	secret, err := v.agent.secrets.Secrets(v.pod.Namespace).Get(name)
	if apierrors.IsNotFound(err) {
		return missing("secret", name, optional)
	}
	if err != nil {
		return nil, err
	}
	return pick("secret", name, secret.Data, items)
}

func (v *volumes) config(name string, items []corev1.KeyToPath, optional *bool) (map[string][]byte, error) {
	config, err := v.agent.configs.ConfigMaps(v.pod.Namespace).Get(name)
	if apierrors.IsNotFound(err) {
		return missing("configmap", name, optional)
	}
	if err != nil {
		return nil, err
	}
	return pick("configmap", name, dataOf(config), items)
}

// token is the pod's own, of the API server's TokenRequest, made anew after four fifths of its time.
func (v *volumes) token(ctx context.Context, source *corev1.ServiceAccountTokenProjection) (string, error) {
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: source.ExpirationSeconds,
		BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: v.pod.Name, UID: v.pod.UID}}}
	if source.Audience != "" {
		request.Spec.Audiences = []string{source.Audience}
	}
	key := source.Audience + " " + source.Path
	if known, found := v.tokens[key]; found && time.Now().Before(known.renew) {
		return known.text, nil
	}
	answer, err := v.agent.client.CoreV1().ServiceAccounts(v.pod.Namespace).CreateToken(ctx, v.pod.Spec.ServiceAccountName, request, metav1.CreateOptions{})
	if err != nil {
		if known, found := v.tokens[key]; found {
			return known.text, nil // it holds for a while yet
		}
		return "", fmt.Errorf("a token of %s: %w", v.pod.Spec.ServiceAccountName, err)
	}
	lasts := time.Until(answer.Status.ExpirationTimestamp.Time)
	v.tokens[key] = token{answer.Status.Token, time.Now().Add(lasts * 4 / 5)}
	return answer.Status.Token, nil
}

func withModes(contents map[string][]byte, common *int32, items []corev1.KeyToPath) map[string]volumeFile {
	files := map[string]volumeFile{}
	for path, content := range contents {
		file := volumeFile{content, 0o644}
		if common != nil {
			file.mode = fs.FileMode(*common)
		}
		for _, item := range items {
			if item.Path == path && item.Mode != nil {
				file.mode = fs.FileMode(*item.Mode)
			}
		}
		files[path] = file
	}
	return files
}

func sameFiles(a, b map[string]volumeFile) bool {
	if len(a) != len(b) {
		return false
	}
	for path, file := range a {
		if other, found := b[path]; !found || other.mode != file.mode || !bytes.Equal(other.content, file.content) {
			return false
		}
	}
	return true
}

// show makes a volume hold these files: NAME -> ..data/NAME, ..data -> a folder of its own for each state.
func (v *volumes) show(name string, files map[string]volumeFile) error {
	before, there := v.shown[name]
	if there && sameFiles(before, files) {
		return nil
	}
	v.swaps++
	volume, state := v.path(name), fmt.Sprintf("..%d", v.swaps)
	if err := v.write(filepath.Join(volume, state), files); err != nil {
		return err
	}
	old, _ := os.Readlink(filepath.Join(volume, "..data"))
	fresh := filepath.Join(volume, "..data_tmp")
	if err := os.Symlink(state, fresh); err != nil {
		return err
	}
	if err := os.Rename(fresh, filepath.Join(volume, "..data")); err != nil {
		return err
	}
	for path := range files {
		first, _, _ := strings.Cut(path, "/")
		if err := os.Symlink(filepath.Join("..data", first), filepath.Join(volume, first)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	for path := range before {
		first, _, _ := strings.Cut(path, "/")
		if _, err := os.Stat(filepath.Join(volume, "..data", first)); err != nil {
			os.Remove(filepath.Join(volume, first))
		}
	}
	if old != "" {
		os.RemoveAll(filepath.Join(volume, old))
	}
	v.shown[name] = files
	return nil
}

func (v *volumes) write(folder string, files map[string]volumeFile) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	user, group := 0, fsGroup(v.pod)
	if group == 0 {
		user = userOf(v.pod, nil)
	}
	for path, file := range files {
		target := filepath.Join(folder, path)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		mode := file.mode
		if group != 0 {
			mode |= 0o440 // as a kubelet does for fsGroup
		}
		if err := os.WriteFile(target, file.content, mode); err != nil {
			return err
		}
		if err := v.agent.own(target, user, group); err != nil {
			return err
		}
		if err := os.Chmod(target, mode); err != nil {
			return err
		}
	}
	return nil
}

// own gives a file to a user and group where there are others than root's.
func (a *podAgent) own(path string, user, group int) error {
	if !a.users {
		return nil
	}
	return os.Lchown(path, user, group)
}

func fsGroup(pod *corev1.Pod) int {
	if s := pod.Spec.SecurityContext; s != nil && s.FSGroup != nil {
		return int(*s.FSGroup)
	}
	return 0
}

// userOf is who a container runs as; our images' own user where nothing says.
func userOf(pod *corev1.Pod, container *corev1.Container) int {
	if container != nil && container.SecurityContext != nil && container.SecurityContext.RunAsUser != nil {
		return int(*container.SecurityContext.RunAsUser)
	}
	if s := pod.Spec.SecurityContext; s != nil && s.RunAsUser != nil {
		return int(*s.RunAsUser)
	}
	return imagesUser
}

func groupOf(pod *corev1.Pod, container *corev1.Container) int {
	if container != nil && container.SecurityContext != nil && container.SecurityContext.RunAsGroup != nil {
		return int(*container.SecurityContext.RunAsGroup)
	}
	if s := pod.Spec.SecurityContext; s != nil && s.RunAsGroup != nil {
		return int(*s.RunAsGroup)
	}
	return imagesUser
}

const imagesUser = 65532 // USER of our Dockerfiles

// othersAreThere tells whether files and processes can be another user's: not in a user namespace that knows only root.
func othersAreThere() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false
	}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		var inside, outside, count int64
		if _, err := fmt.Sscan(line, &inside, &outside, &count); err == nil && inside <= imagesUser && imagesUser < inside+count {
			return true
		}
	}
	return false
}
