package vitrine_test

import (
	"strings"
	"testing"
	"time"

	"vitrine"
)

const testUUID = "3f0c2b7a9d8e4f10a1b2c3d4e5f60718"

func TestKeys(t *testing.T) {
	// A quarter past midnight in Berlin is still the day before in UTC.
	start := time.Date(2026, 11, 23, 0, 15, 0, 0, time.FixedZone("CET", 3600))
	day := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	record := func(kind vitrine.KeyKind) vitrine.Key {
		return vitrine.Key{Kind: kind, UUID: testUUID, Day: day}
	}
	artifact := func(path string) vitrine.Key {
		return vitrine.Key{Kind: vitrine.ArtifactKind, UUID: testUUID, Path: path}
	}
	longest := strings.Repeat("x", vitrine.MaxPath) + vitrine.SealedSuffix
	for _, test := range []struct {
		key, want string
		parsed    vitrine.Key
	}{
		{vitrine.StartedKey(start, testUUID), "records/2026/11/22/" + testUUID + "/started.json", record(vitrine.StartedKind)},
		{vitrine.RecordKey(start, testUUID), "records/2026/11/22/" + testUUID + "/build.json", record(vitrine.RecordKind)},
		{vitrine.SignatureKey(vitrine.StartedKey(start, testUUID)), "records/2026/11/22/" + testUUID + "/started.json.sig", record(vitrine.StartedSignatureKind)},
		{vitrine.SignatureKey(vitrine.RecordKey(start, testUUID)), "records/2026/11/22/" + testUUID + "/build.json.sig", record(vitrine.RecordSignatureKind)},
		{vitrine.ArtifactKey(testUUID, "a/b.log.zst.age"), "artifacts/" + testUUID + "/a/b.log.zst.age", artifact("a/b.log.zst.age")},
		{vitrine.ArtifactKey(testUUID, "image.png"), "artifacts/" + testUUID + "/image.png", artifact("image.png")},
		{vitrine.ArtifactKey(testUUID, longest), "artifacts/" + testUUID + "/" + longest, artifact(longest)},
	} {
		if test.key != test.want {
			t.Errorf("key %q, want %q", test.key, test.want)
		}
		if k, err := vitrine.ParseKey(test.key); err != nil || k != test.parsed {
			t.Errorf("ParseKey(%q): %+v, %v, want %+v", test.key, k, err, test.parsed)
		}
	}
	if got := vitrine.DayPrefix(start); got != "records/2026/11/22/" {
		t.Errorf("DayPrefix: %q", got)
	}
}

func TestParseKeyRefuses(t *testing.T) {
	a, r := "artifacts/"+testUUID+"/", "records/2026/11/22/"+testUUID+"/"
	for _, key := range []string{
		"", "/", ".", "x", "records", "records/", "artifacts", "artifacts/", a, a[:len(a)-1], r, r[:len(r)-1], "Records/2026/11/22/" + testUUID + "/build.json",
		"/" + a + "x", a + "/x", a + "x/", a + "x//y", a + "../x", a + "x/../y", a + "./x", a + ".x", a + "x/.git/config", a + `x\y`, a + "x\x00", a + "x y", a + "ä", a + "x\n",
		a + "CON", a + "nul.txt", a + "x.", a + ".age", a + "x/.zst.age", a + strings.Repeat("x", vitrine.MaxPath+1), a + strings.Repeat("x", vitrine.MaxPath+1) + ".zst.age",
		"artifacts/" + strings.ToUpper(testUUID) + "/x", "artifacts/" + testUUID[1:] + "/x", "artifacts/" + testUUID + "0/x", "artifacts/../x",
		r + "other.json", r + "build.json.sig.sig", r + "build.json/x", r + "BUILD.json", r + "started.json ", r + "/build.json",
		"records/2026/11/31/" + testUUID + "/build.json", "records/2026/13/01/" + testUUID + "/build.json", "records/2026/1/2/" + testUUID + "/build.json",
		"records/26/11/22/" + testUUID + "/build.json", "records/+026/11/22/" + testUUID + "/build.json", "records/2026-11-22/" + testUUID + "/build.json",
		"records/2026/11/22/" + testUUID[1:] + "/build.json", "records/2026/11/22/build.json",
	} {
		if k, err := vitrine.ParseKey(key); err == nil {
			t.Errorf("ParseKey(%q) gave %+v", key, k)
		}
	}
}

// What is accepted is what the functions that make keys would write.
func FuzzParseKey(f *testing.F) {
	for _, s := range []string{
		"records/2026/11/22/" + testUUID + "/build.json", "records/2026/11/22/" + testUUID + "/started.json.sig",
		"artifacts/" + testUUID + "/a/b.log.zst.age", "artifacts/" + testUUID + "/a.age", "artifacts/" + testUUID + "/../x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := vitrine.ParseKey(s)
		if err != nil {
			return
		}
		var again string
		switch k.Kind {
		case vitrine.StartedKind:
			again = vitrine.StartedKey(k.Day, k.UUID)
		case vitrine.StartedSignatureKind:
			again = vitrine.SignatureKey(vitrine.StartedKey(k.Day, k.UUID))
		case vitrine.RecordKind:
			again = vitrine.RecordKey(k.Day, k.UUID)
		case vitrine.RecordSignatureKind:
			again = vitrine.SignatureKey(vitrine.RecordKey(k.Day, k.UUID))
		case vitrine.ArtifactKind:
			again = vitrine.ArtifactKey(k.UUID, k.Path)
		}
		if again != s {
			t.Errorf("%q was parsed to %+v, which is %q", s, k, again)
		}
	})
}
