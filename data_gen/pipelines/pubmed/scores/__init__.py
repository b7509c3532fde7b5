"""What each stage of the PubMed pipeline gets right, with intervals by bootstrap over figures."""
