// Lifecycle rules in words: what goes when, of which objects. The form makes the usual ones; others are kept as they are.
import { useState, type FormEvent } from "react";
import { Icon } from "../../parts/icons";
import { Note } from "../../parts/Note";
import { Table, type Column } from "../../parts/Table";
import { SettingCard, stateChip } from "./SettingCard";
import { lifecycleDocument, ruleElement, rulesOf, type RuleForm, type RuleView } from "./settings";
import { useSetting } from "./useSetting";

const EMPTY: RuleForm = { id: "", prefix: "", expireDays: "", noncurrentDays: "", abortDays: "", transitionDays: "", transitionClass: "GLACIER" };
// What transitions can lead to: fewer parity units for what can be made again, more for what is kept for long.
const CLASSES: [string, string][] = [
  ["GLACIER", "GLACIER: 8+3, takes 11 drives"],
  ["DEEP_ARCHIVE", "DEEP_ARCHIVE: 8+3, takes 11 drives"],
  ["REDUCED_REDUNDANCY", "REDUCED_REDUNDANCY: 2+1"],
];

function RuleDialogFields({ form, set }: { form: RuleForm; set: (form: RuleForm) => void }) {
  const field = (name: keyof RuleForm, label: string, hint: string) => (
    <label className="field">
      {label}
      <input className="input" inputMode={name === "prefix" || name === "id" ? "text" : "numeric"} pattern={name === "prefix" || name === "id" ? undefined : "[0-9]+"} value={form[name]} onChange={(event) => set({ ...form, [name]: event.target.value })} />
      <span className="hint">{hint}</span>
    </label>
  );
  return (
    <div className="rule-fields">
      {field("id", "Name", "of the rule; any text")}
      {field("prefix", "Keys that begin with", "empty: every key")}
      {field("expireDays", "Gone after, days", "a marker where versions are kept")}
      {field("noncurrentDays", "Older versions gone after, days", "since they were replaced")}
      {field("abortDays", "Unfinished uploads aborted after, days", "7 in any case")}
      {field("transitionDays", "Another class after, days", "the bytes move, the name stays")}
      {form.transitionDays && (
        <label className="field">
          Class
          <select className="input" value={form.transitionClass} onChange={(event) => set({ ...form, transitionClass: event.target.value })}>
            {CLASSES.map(([name, title]) => (
              <option key={name} value={name}>
                {title}
              </option>
            ))}
          </select>
        </label>
      )}
    </div>
  );
}

export function LifecycleCard({ bucket }: { bucket: string }) {
  const setting = useSetting(bucket, "lifecycle");
  const rules = rulesOf(setting.document);
  const [form, setForm] = useState<RuleForm>();
  const [wrong, setWrong] = useState("");
  const submit = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    if (!form) return;
    if (!form.expireDays && !form.noncurrentDays && !form.abortDays && !form.transitionDays) {
      setWrong("A rule does something: fill in at least one number of days.");
      return;
    }
    setWrong("");
    if (await setting.save(lifecycleDocument([...rules.map((rule) => rule.xml), ruleElement(form)]))) setForm(undefined);
  };
  const drop = (gone: RuleView): void => {
    const left = rules.filter((rule) => rule !== gone).map((rule) => rule.xml);
    void (left.length > 0 ? setting.save(lifecycleDocument(left)) : setting.remove());
  };
  const columns: Column<RuleView>[] = [
    {
      title: "Rule",
      cell: (rule) => (
        <>
          {rule.id || "–"} {!rule.enabled && <span className="chip">disabled</span>}
        </>
      ),
    },
    { title: "For", className: "wide", cell: (rule) => rule.applies },
    { title: "What happens", cell: (rule) => rule.actions.join("; ") || "nothing" },
    {
      title: "Actions",
      hideTitle: true,
      className: "actions",
      cell: (rule) => (
        <button type="button" className="button quiet small icon" aria-label={`Remove rule ${rule.id}`} disabled={setting.busy} onClick={() => drop(rule)}>
          <Icon name="trash" size={14} />
        </button>
      ),
    },
  ];
  return (
    <SettingCard title="Lifecycle" state={stateChip(rules.length > 0, rules.length === 1 ? "1 rule" : `${rules.length} rules`, "none")} error={setting.error} loading={setting.loading}>
      <p className="soft">What is removed or moved by itself, and when. Object lock is stronger than any rule.</p>
      {rules.length > 0 && <Table caption="Lifecycle rules" columns={columns} rows={rules} id={(rule) => rule.id || rule.xml} />}
      {form ? (
        <form onSubmit={submit} className="setting">
          {wrong && <Note kind="bad">{wrong}</Note>}
          <RuleDialogFields form={form} set={setForm} />
          <div className="inline-form">
            <button type="submit" className="button primary" disabled={setting.busy}>
              Save rule
            </button>
            <button type="button" className="button" onClick={() => setForm(undefined)}>
              Cancel
            </button>
          </div>
        </form>
      ) : (
        <div>
          <button type="button" className="button" onClick={() => setForm(EMPTY)}>
            <Icon name="plus" /> Add a rule
          </button>
        </div>
      )}
    </SettingCard>
  );
}
