import { Component, type ReactNode } from "react";
import { ErrorNote } from "../parts/Note";

// A page that breaks says so in its own place; the rest of the console stays usable.
export class ErrorBoundary extends Component<{ children: ReactNode }, { error: unknown }> {
  override state = { error: undefined as unknown };
  static getDerivedStateFromError(error: unknown) {
    return { error };
  }
  override render() {
    if (this.state.error === undefined) return this.props.children;
    return <ErrorNote error={this.state.error} retry={() => this.setState({ error: undefined })} />;
  }
}
