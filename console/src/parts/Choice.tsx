// One of a few, as buttons side by side.
interface ChoiceProps<T> {
  label: string;
  options: readonly { id: T; title: string }[];
  value: T;
  set: (value: T) => void;
  className?: string;
}

export function Choice<T extends string | number>({ label, options, value, set, className = "choice" }: ChoiceProps<T>) {
  return (
    <div className={className} role="group" aria-label={label}>
      {options.map(({ id, title }) => (
        <button type="button" key={id} className={`button small${id === value ? " primary" : ""}`} aria-pressed={id === value} onClick={() => set(id)}>
          {title}
        </button>
      ))}
    </div>
  );
}
