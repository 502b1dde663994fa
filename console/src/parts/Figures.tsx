// Key figures of a page: a name, a value, perhaps a word more beside it, perhaps what it means on hover.
import type { ReactNode } from "react";

export interface Figure {
  name: string;
  value: ReactNode;
  more?: ReactNode;
  hint?: string | undefined;
}

export function FigureList({ figures }: { figures: readonly Figure[] }) {
  return (
    <dl className="figures">
      {figures.map(({ name, value, more, hint }) => (
        <div className="figure" key={name} title={hint}>
          <dt>{name}</dt>
          <dd>
            {value} {more && <small>{more}</small>}
          </dd>
        </div>
      ))}
    </dl>
  );
}

export function Figures({ figures, label = "Key figures" }: { figures: readonly Figure[]; label?: string }) {
  return (
    <section className="card" aria-label={label}>
      <div className="card-body">
        <FigureList figures={figures} />
      </div>
    </section>
  );
}
