// One thing that the search found: what kind it is, what it is called, where its page is.
export interface SearchHit {
  kind: string;
  title: string;
  to: string;
}
